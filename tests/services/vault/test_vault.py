"""The vault through its contract, in the three modes."""

import pytest

from guilder.chassis.testing import new_id, somebody
from guilder.contracts.context import Call
from guilder.contracts.declare import EventQuery, Nothing
from guilder.contracts.errors import Internal, KeyReused
from guilder.contracts.vault import v1
from guilder.services.vault.master import MasterKeys


async def one_key(vault, who, subject, epoch=None):
    (answer,) = await vault.keys([Call(who.ctx(), v1.KeyQuestion(subject=subject, epoch=epoch))])
    return answer


async def test_a_subject_keeps_its_key_within_an_epoch(world):
    vault, who, subject = world.client(v1.Vault), somebody(901), new_id()
    first = await one_key(vault, who, subject)
    assert len(first.key) == 32
    assert await one_key(vault, who, subject) == first
    assert (await one_key(vault, who, new_id())).key != first.key
    other = await one_key(vault, somebody(902), subject)
    assert other.key != first.key


async def test_a_new_epoch_has_new_keys_and_old_ones_stay_readable(world):
    vault, who, subject = world.client(v1.Vault), somebody(903), new_id()
    first = await one_key(vault, who, subject)
    epoch = (await vault.rotate(who.ctx(), v1.Rotate())).epoch
    second = await one_key(vault, who, subject)
    assert second.epoch == epoch == first.epoch + 1
    assert second.key != first.key
    assert await one_key(vault, who, subject, first.epoch) == first


async def test_an_erased_subject_never_gets_a_key_again(world):
    vault, who, subject = world.client(v1.Vault), somebody(904), new_id()
    first = await one_key(vault, who, subject)
    erased = await vault.erase(who.ctx(), v1.Subject(subject=subject, reason="asked for it"))
    assert erased.keys == 1
    assert isinstance(await one_key(vault, who, subject), v1.Erased)
    assert isinstance(await one_key(vault, who, subject, first.epoch), v1.Erased)


async def test_the_same_key_for_another_request_is_refused(world):
    vault, who = world.client(v1.Vault), somebody(905)
    ctx = who.ctx()
    request = v1.Subject(subject=new_id(), reason="asked for it")
    first = await vault.erase(ctx, request)
    assert await vault.erase(ctx, request) == first
    with pytest.raises(KeyReused):
        await vault.erase(ctx, v1.Subject(subject=new_id(), reason="asked for it"))


async def test_erasures_are_in_the_log_once(world):
    vault, who, subject = world.client(v1.Vault), somebody(906), new_id()
    await vault.erase(who.ctx(), v1.Subject(subject=subject, reason="asked for it"))
    seen, after = [], ""
    while True:
        page = await vault.events(who.ctx(), EventQuery(after=after, limit=3))
        if not page.events:
            break
        seen += [e for e in page.events if e.ids.get("subject") == str(subject)]
        after = page.next
    assert [(e.type, e.tenant, e.principal) for e in seen] == [
        ("subject.erased", 906, str(who.principal.id))
    ]


async def test_the_vault_finds_a_changed_key(direct):
    vault, who, subject = direct.client(v1.Vault), somebody(907), new_id()
    await one_key(vault, who, subject)
    assert not [
        f for f in (await vault.self_check(who.ctx(), Nothing())).findings if f.tenant == 907
    ]
    await vault.erase(who.ctx(), v1.Subject(subject=new_id(), reason="leaves a trace"))
    async with direct.process.stores["vault"].tx(907) as tx:
        await tx.execute(
            "UPDATE data_key SET wrapped = wrapped || '\\x00' WHERE subject=$1", subject
        )
    found = [f for f in (await vault.self_check(who.ctx(), Nothing())).findings if f.tenant == 907]
    assert [f.check for f in found] == ["data-key"]
    async with direct.process.stores["vault"].tx(907) as tx:
        await tx.execute("DELETE FROM data_key WHERE subject=$1", subject)


def test_a_lost_master_key_is_said_and_never_made_anew(tmp_path):
    subject = new_id()
    wrapped = MasterKeys(tmp_path).wrap(1, subject, 1, bytes(32))
    assert MasterKeys(tmp_path).unwrap(1, subject, 1, wrapped) == bytes(32)
    (tmp_path / "epoch-1.key").unlink()
    with pytest.raises(Internal, match="restore"):
        MasterKeys(tmp_path).unwrap(1, subject, 1, wrapped)
    assert list(tmp_path.iterdir()) == []
