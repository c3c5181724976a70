"""One suite per replaceable contract: judges an edition in any language, over HTTP alone.

`run.py` is the way in; `python -m guilder.conformance` its command. Needs the extra
`guilder[conform]`.
"""
