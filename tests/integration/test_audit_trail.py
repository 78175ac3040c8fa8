"""The audit trail: each transition of a sign-up is one line in the log, and counted."""

from tests.integration.world import PASSWORD, World, to_code, to_password

DAY_SECONDS = 86_400


async def test_audit_trail(world: World) -> None:
    """Every transition is logged with the sign-up's id, once, and counted once."""
    replica = await world.serve(metrics_listen="127.0.0.1:0", sweep_interval="1d")
    caller, service = replica.caller, replica.service
    first = await to_password(world, caller, "ann@example.com")
    rival = await to_password(world, caller, "ann@example.com")
    done = await caller.set_password(first, PASSWORD)
    taken = await caller.set_password(rival, PASSWORD)
    token, _ = await to_code(world, caller, "bob@example.com")
    cancelled = await caller.cancel(token)
    token, _ = await to_code(world, caller, "cid@example.com")
    lapsed = await caller.get(token)
    world.clock.move(DAY_SECONDS)
    await service.sweeper.sweep()
    trail: dict[str, list[str]] = {}
    for line in world.log.entries:
        if "signup_id" in line and line["event"].startswith("signup_"):
            trail.setdefault(line["signup_id"], []).append(line["event"])

    assert trail == {
        done.signup.signup_id: [
            "signup_started",
            "signup_verified",
            "signup_completed",
        ],
        taken.signup.signup_id: [
            "signup_started",
            "signup_verified",
            "signup_already_registered",
        ],
        cancelled.signup.signup_id: ["signup_started", "signup_cancelled"],
        lapsed.signup.signup_id: ["signup_started", "signup_expired"],
    }
    _, text = await replica.page()
    counts = {"started": 4, "verified": 2, "completed": 1, "already_registered": 1}
    for event, count in {**counts, "cancelled": 1, "expired": 1}.items():
        assert f'signupd_signups_total{{event="{event}"}} {count}.0' in text
