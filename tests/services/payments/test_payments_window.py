"""Orders during a real maintenance window: taken in, left alone, booked when it is over."""

from payments_desk import open_desk
from test_payments import outcome
from test_payments_waiting import ended, told, waits

from guilder.contracts.registry.windows import SetReadOnly, WindowId
from tests.services.registry.maintenance_desk import open_desk as open_operations


async def test_a_window_that_queues_takes_orders_in_and_books_them_afterwards(world):
    async with open_operations(world) as operations:
        desk = await open_desk(world)
        window = await operations.window(tenant=desk.bank.slug, writes="queue")
        await operations.pass_by(days=4, minutes=1)
        made = await waits(desk)
        assert (made.waits_for.part, made.waits_for.window) == ("maintenance", window.id)
        await desk.world.process.built["payments"].service.orders.resume()
        assert (await desk.read(made.id)).state == "waiting"
        await operations.pass_by(hours=2)  # its end has come, and what was done is being checked
        assert (await ended(desk, made)).state == "waiting"
        done = WindowId(window_id=window.id)
        await operations.registry.complete_window(operations.who.ctx(), done)
        await operations.world.settle()
        assert (await ended(desk, made)).state == "booked"
        assert await told(desk, made.id) == ["payment.waiting", "payment.booked"]


async def test_what_waits_for_a_part_is_not_booked_while_nothing_may_be_written(world):
    async with open_operations(world) as operations:
        desk = await open_desk(world)
        switch = SetReadOnly(tenant=desk.bank.slug, on=True, reason="the disk is failing")
        await operations.registry.set_read_only(operations.who.ctx(), switch)
        await operations.world.settle()
        made = await waits(desk)  # past the door at the moment in which the switch was thrown
        assert (await ended(desk, made)).state == "waiting"
        back = SetReadOnly(tenant=desk.bank.slug, on=False, reason="it was exchanged")
        await operations.registry.set_read_only(operations.who.ctx(), back)
        await operations.world.settle()
        assert (await ended(desk, made)).state == "booked"
        assert (await outcome(desk, desk.jana.ctx(), desk.order("1.00"))).status == 201
