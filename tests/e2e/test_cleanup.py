"""The job of deploy/kubernetes that cleans Kratos' database."""

import sqlite3
import subprocess
from contextlib import closing

import httpx
import yaml

from devstack.config import inherited
from devstack.ports import free_ports
from tests.documented import ROOT
from tests.e2e.holdings import DATABASE, registration_flow_ids
from tests.e2e.site import Site

JOB = ROOT / "deploy" / "kubernetes" / "kratos-cleanup" / "cronjob.yaml"
# More than Kratos deletes by default.
FLOWS = 110


def test_expired_flows(site: Site) -> None:
    """Kratos takes the job's arguments, with nothing but DSN, and deletes all flows."""
    template = yaml.safe_load(JOB.read_text())["spec"]["jobTemplate"]["spec"]
    (container,) = template["template"]["spec"]["containers"]
    # It rests between tables.
    arguments = [one.replace("=10s", "=1ms") for one in container["args"]]
    with site.kratos(free_ports(1)[0]) as kratos:
        for _ in range(FLOWS):
            url = f"{kratos.public_url}/self-service/registration/api"
            httpx.get(url, trust_env=False).raise_for_status()
        before = registration_flow_ids(kratos)
    path = kratos.directory / DATABASE
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "UPDATE selfservice_registration_flows SET expires_at='2020-01-01'"
        )
    subprocess.run(  # noqa: S603 - the Kratos of these tests
        [site.binary, *arguments],
        env=inherited() | {"DSN": f"sqlite://{path}?_fk=true"},
        check=True,
        capture_output=True,
    )

    assert ["DSN"] == [one["name"] for one in container["env"]]
    assert FLOWS == len(before)
    assert set() == registration_flow_ids(kratos)
