"""Why the ledger refuses: the problems of its contract."""

from guilder.contracts.errors import Conflict, NotFound, Refused


class InsufficientFunds(Refused):
    """The debit account would fall below its limit."""

    code = "insufficient-funds"
    title = "Not enough available funds"
    fix = "Pay in first, or choose a smaller amount."


class UnknownLedgerAccount(NotFound):
    """No such ledger account in this tenant."""

    code = "unknown-ledger-account"
    title = "There is no such ledger account"
    fix = "Open the account first."


class LedgerAccountClosed(Conflict):
    """The ledger account is closed."""

    code = "ledger-account-closed"
    title = "The ledger account is closed"
    fix = "Use another account."


class LedgerAccountDiffers(Conflict):
    """The id exists with other properties."""

    code = "ledger-account-differs"
    title = "A ledger account with this id but other properties exists"
    fix = "Use a new id for a new account."


class LedgerAccountInUse(Conflict):
    """Only an account with zero balances and no pending transfer can be closed."""

    code = "ledger-account-in-use"
    title = "The account still has money or holds on it"
    fix = "Move the balance and settle the holds first."


class CurrencyMismatch(Refused):
    """Transfer and account are in different currencies."""

    code = "currency-mismatch"
    title = "The currencies do not match"
    fix = "Send the amount in the account's currency."


class SameAccount(Refused):
    """Debit and credit are one account."""

    code = "same-account"
    title = "Debtor and creditor are the same account"
    fix = "Choose two different accounts."


class AmountNotPositive(Refused):
    """Amounts are above zero; the direction is in debit and credit."""

    code = "amount-not-positive"
    title = "The amount must be above zero"
    fix = "Send an amount above zero."


class AmountTooLarge(Refused):
    """The running total of an account would not fit."""

    code = "amount-too-large"
    title = "The amount is too large"
    fix = "Send a smaller amount."


class TransferIdReused(Conflict):
    """The transfer id was used for another transfer."""

    code = "transfer-id-reused"
    title = "This transfer id was used for another transfer"
    fix = "Use a new UUIDv7 for a new transfer."


class PendingUnknown(NotFound):
    """No such pending transfer."""

    code = "pending-unknown"
    title = "There is no such pending transfer"
    fix = "Check the id of the hold."


class PendingClosed(Conflict):
    """The pending transfer was posted, voided or has expired."""

    code = "pending-closed"
    title = "The hold is no longer open"
    fix = "Read the hold's state; make a new one if it is still wanted."


class PostAboveHold(Refused):
    """More than the held amount was to be posted."""

    code = "post-above-hold"
    title = "The amount is above what was held"
    fix = "Post at most the held amount."
