"""What has to hold when all is over, and what does not."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from kratos_signup.v1 import signup_service_pb2 as pb

from tests.limbo.books import FINAL as FINAL_STATES
from tests.limbo.watch import complete
from tests.soak.people import FINAL, Person
from tests.soak.site import Site

THREADS = 8
# How many unfinished sign-ups' addresses are tried.
TRIED = 100
MOST_GROWTH_MEBIBYTES = 40
ERROR = re.compile('"level": ?"(error|critical)"')
LIMITS = {"code_attempts": 5, "sends": 5, "password_attempts": 20}


@dataclass(frozen=True, slots=True)
class Soaked:
    """A soak that is over.

    Attributes:
        site: Its servers, which run.
        people: What they were told.
    """

    site: Site
    people: list[Person]

    @property
    def completed(self) -> list[Person]:
        """Those who were told that they have an account."""
        return [one for one in self.people if one.state == "COMPLETED"]

    def person(self, fate: str, address: str) -> Person:
        """Make up somebody."""
        chance = random.Random(f"{fate} {address}")  # noqa: S311 - no secret
        return Person(
            site=self.site,
            chance=chance,
            fate=fate,
            address=address,
            password=f"{chance.getrandbits(96):024x}",
            known=self.people,
        )

    def log(self) -> list[str]:
        """Read what the replicas have logged."""
        logs = [replica.log() for replica in self.site.replicas]
        return [line for log in logs for line in log.splitlines()]

    def rows(self, condition: str) -> list[str]:
        """Describe the ledger's rows for which something holds."""
        query = f"SELECT signup_id, state, lease FROM signups WHERE {condition}"  # noqa: S608
        return [str(row) for row in self.site.books.run(query)]


# How much was looked at, and what is wrong.
Faults = tuple[int, list[str]]


def check_answers(soaked: Soaked) -> Faults:
    """Every answer is an allowed one, and the same when the call is repeated."""
    return len(soaked.people), [one.fault for one in soaked.people if one.fault]


def check_free(soaked: Soaked) -> Faults:
    """The address of an unfinished sign-up is free: it signs up to the end."""
    taken = {one.address for one in soaked.completed}
    unfinished = {one.address for one in soaked.people} - taken
    # Addresses have random parts.
    tried = sorted(unfinished)[:TRIED]
    newcomers = [soaked.person("completed", address) for address in tried]
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(Person.live, newcomers))
    held = [one.address for one in newcomers if one.state != "COMPLETED"]
    return len(tried), held


def check_sessions(soaked: Soaked) -> Faults:
    """No sign-up leaves a session in Kratos, unless the log names its account."""
    query = "SELECT id, identity_id FROM sessions WHERE active"
    left = soaked.site.kratos_books.run(query)
    named = "".join(line for line in soaked.log() if '"session_left"' in line)
    faults = [str(session) for session, owner in left if str(owner) not in named]
    return len(soaked.completed), faults


def check_acknowledged(soaked: Soaked) -> Faults:
    """What a sign-up was told last still holds; if it was not finished, it expired."""
    known = [one for one in soaked.people if one.token]

    def fault(person: Person) -> str:
        expected = person.state if person.state in FINAL else "EXPIRED"
        request = pb.GetSignupRequest(continuation_token=person.token)
        now = person.persist(request)
        if (now.what, now.shown.identity_id) == (expected, person.identity_id):
            return ""
        return f"{person.address}: {person.state} became {now.what}"

    return len(known), _each(fault, known)


def check_accounts(soaked: Soaked) -> Faults:
    """A completed sign-up has one account: active, verified, with its password."""
    owners = Counter(one.address for one in soaked.completed)

    def fault(person: Person) -> str:
        found = soaked.site.admin.identities(person.address)
        if owners[person.address] > 1:
            return f"{person.address}: COMPLETED twice"
        if [person.identity_id] != [one.id for one in found] or not complete(found[0]):
            return f"{person.address}: {found}"
        if not soaked.site.visitor.login(person.address, person.password):
            return f"{person.address}: does not sign in"
        return ""

    return len(soaked.completed), _each(fault, soaked.completed)


def check_no_others(soaked: Soaked) -> Faults:
    """Kratos has no account but those of completed sign-ups."""
    held = soaked.site.kratos_books.run("SELECT id FROM identities")
    owned = {one.identity_id for one in soaked.completed}
    return len(held), sorted({str(row[0]) for row in held} - owned)


def check_finals(soaked: Soaked) -> Faults:
    """Every row is final, holds no lease, and belongs to a sign-up of somebody."""
    finals = ", ".join(f"'{state}'" for state in FINAL_STATES)
    left = soaked.rows(f"state NOT IN ({finals}) OR lease <> 'none'")
    rows = [
        str(row[0]) for row in soaked.site.books.run("SELECT signup_id FROM signups")
    ]
    people = soaked.people
    known = {one.signup_id for one in people}
    # Whose StartSignup ended early was shown no sign-up.
    unknown = {*rows} - known
    if len(unknown) > sum(not one.signup_id for one in people):
        left += unknown
    return len(rows), [*left, *(known - {"", *rows})]


def check_limits(soaked: Soaked) -> Faults:
    """No sign-up was given more codes, mails or passwords than the limits allow."""
    beyond = " OR ".join(f"{name} > {most}" for name, most in LIMITS.items())
    return len(soaked.rows("true")), soaked.rows(beyond)


def check_memory(soaked: Soaked) -> Faults:
    """No replica grows by more than 40 MiB after its first start."""
    grown = [max(held) - held[0] for held in soaked.site.memory]
    return len(grown), [str(one) for one in grown if one > MOST_GROWTH_MEBIBYTES]


def check_logs(soaked: Soaked) -> Faults:
    """No replica logs an error: servers that die are no more than warnings."""
    lines = soaked.log()
    return len(lines), [line for line in lines if ERROR.search(line)]


# In this order: newcomers are among the people, and sign-ins make sessions.
PROMISES: Final[tuple[Callable[[Soaked], Faults], ...]] = (
    check_free,
    check_sessions,
    check_answers,
    check_acknowledged,
    check_accounts,
    check_no_others,
    check_finals,
    check_limits,
    check_memory,
    check_logs,
)


def _each(fault: Callable[[Person], str], people: Iterable[Person]) -> list[str]:
    with ThreadPoolExecutor(THREADS) as pool:
        return [*filter(None, pool.map(fault, people))]
