"""What is shipped for a deployment says what the program understands: compose, image, alert rules, dashboard."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import redis
import yaml

from engine.decode import REASONS
from streams.cli import _COMMANDS, cli
from streams.intake.tokens import TokenFile
from streams.live.metric_catalogue import CATALOGUE, FATES, STAGES
from streams.redis.board import RiskBoard
from streams.redis.catalogue import INPUT_STATES
from streams.redis.embedded import EmbeddedRedis
from streams.redis.heartbeat import Heartbeat
from streams.redis.keys import Keys
from streams.redis.policy import check_policy
from streams.redis.verify import verify
from streams.settings import load_settings
from tests.streams.redis.samples import NOW, alert, change, outcome, owned, position

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


COMPOSE = loaded(ROOT / "docker-compose.yml")
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("henji")]
DURATION = re.compile(r"(\d+m)?(\d+s)?")

each_service = pytest.mark.parametrize("name", SERVICES)
each_of_ours = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            # The commands come one by one; from then on they have to parse.
            marks=pytest.mark.xfail(
                SERVICES[name]["command"][0] not in _COMMANDS, reason="no such command yet", strict=True
            ),
        )
        for name in OURS
    ],
)


# -- docker-compose.yml ------------------------------------------------------------------------------------------------


def test_the_parts_of_a_deployment_are_there() -> None:
    assert set(SERVICES) == {"kafka", "redis", "topics", "worker", "intake", "console", "prometheus", "grafana"}
    assert {key for key in COMPOSE if not key.startswith("x-")} == {
        "name",
        "services",
        "networks",
        "volumes",
        "secrets",
    }


@each_service
def test_a_service_has_only_what_compose_knows(name: str) -> None:
    known = (
        "build cap_drop command depends_on deploy environment healthcheck image logging networks platform ports "
        "read_only restart secrets security_opt stop_grace_period tmpfs user volumes"
    )
    assert set(SERVICES[name]) <= set(known.split())


@each_service
def test_a_service_is_closed(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"]["memory"]
    assert "inside" in service["networks"]
    # One that opens a port on this machine needs a network with a door, and no other has one.
    assert ("door" in service["networks"]) == bool(service.get("ports"))
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in service.get("ports", ()))


def test_no_port_is_taken_twice_and_replicas_take_none() -> None:
    taken = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(taken) == len(set(taken))
    assert not {"ports", "container_name"} & set(SERVICES["worker"])


@each_service
def test_an_image_is_of_a_version(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert tag
    assert tag != "latest"
    assert (image == "henji") == ("build" in SERVICES[name])


@each_service
def test_a_service_that_lasts_is_looked_after(name: str) -> None:
    service = SERVICES[name]
    if service["restart"] == "no":
        assert service["healthcheck"] == {"disable": True}
        return
    check = service["healthcheck"]
    # No shell: words as they are.
    assert check["test"][0] == "CMD"
    assert all(isinstance(word, str) for word in check["test"])
    assert service["restart"] == "unless-stopped"
    for key in ("interval", "timeout", "start_period"):
        assert DURATION.fullmatch(check[key])
        assert check[key]


@each_service
def test_what_a_service_waits_for_can_come(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert set(how) == {"condition"}
        lasting = SERVICES[other]["restart"] != "no"
        assert how["condition"] == ("service_healthy" if lasting else "service_completed_successfully")


@each_service
def test_networks_volumes_and_secrets_are_declared(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    for volume in service.get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]
            assert mode == []


def test_what_is_declared_is_used() -> None:
    for part, of in (("networks", "networks"), ("secrets", "secrets"), ("volumes", "volumes")):
        used = {str(each).partition(":")[0] for service in SERVICES.values() for each in service.get(of, ())}
        assert set(COMPOSE[part]) <= used


def test_state_that_must_last_has_a_volume() -> None:
    for name in ("kafka", "redis", "console", "prometheus", "grafana"):
        assert f"{name}:" in " ".join(SERVICES[name]["volumes"])


@each_service
def test_a_secret_is_a_file_and_never_an_environment_variable(name: str) -> None:
    service = SERVICES[name]
    for key, value in service.get("environment", {}).items():
        assert isinstance(value, str), f"{key}: numbers and truths must be quoted"
        if re.search("PASSWORD|TOKEN|SECRET", key):
            assert value.removeprefix("/run/secrets/") in service["secrets"], key
        if re.search(r"URL|BROKERS", key):
            assert "@" not in value


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_one_and_its_value_is_taken(name: str) -> None:
    settings = load_settings(None, SERVICES[name]["environment"])
    assert settings["kafka.brokers"] == "kafka:9092"
    assert settings["lanes"] % settings["kafka.partitions"] == 0
    others = [load_settings(None, SERVICES[other]["environment"]) for other in OURS]
    for key in ("lanes", "kafka.topic", "kafka.partitions", "kafka.security", "redis.url", "redis.prefix"):
        assert len({other[key] for other in others}) == 1, key


@each_of_ours
def test_every_command_is_one_and_its_options_parse(name: str) -> None:
    assert SERVICES[name]["command"][0] in _COMMANDS
    words = list(SERVICES[name]["command"])
    command: click.Command | None = cli.get_command(click.Context(cli), words.pop(0))
    # A group that runs by itself has options of its own.
    while isinstance(command, click.Group) and not command.invoke_without_command:
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None
    # Unknown options and missing values are refused here; nothing is run.
    _, rest, _ = command.make_parser(click.Context(command)).parse_args(words)
    assert len(rest) <= sum(isinstance(each, click.Argument) for each in command.params)


def test_redis_keeps_everything_and_evicts_nothing() -> None:
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--aclfile"].removeprefix("/run/secrets/") in SERVICES["redis"]["secrets"]
    # A copy of the log is written beside it: there must be room left under the limit of the container.
    assert options["--maxmemory"] == "1500mb"
    assert SERVICES["redis"]["deploy"]["resources"]["limits"]["memory"] == "2g"


def test_kafka_is_the_version_that_is_tested() -> None:
    version = SERVICES["kafka"]["image"].partition(":")[2]
    assert f"<version>{version}</version>" in (ROOT / "tests" / "kafka" / "pom.xml").read_text("utf-8")


def test_kafka_makes_no_topic_by_itself_and_knows_its_own_listeners() -> None:
    kafka = SERVICES["kafka"]["environment"]
    assert kafka["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    listeners = {each.split("://")[0] for each in kafka["KAFKA_LISTENERS"].split(",")}
    protocols = {each.split(":")[0] for each in kafka["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    advertised = dict(each.split("://") for each in kafka["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert listeners == protocols == {*advertised, kafka["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    assert advertised["INSIDE"] == SERVICES["worker"]["environment"]["HENJI_KAFKA_BROKERS"]
    assert SERVICES["kafka"]["ports"] == [f"127.0.0.1:{advertised['HOST'].split(':')[1]}:19092"]
    assert re.fullmatch(r"[\w-]{22}", kafka["CLUSTER_ID"])


def test_the_worker_is_probed_where_it_listens() -> None:
    for name, key in (("worker", "HENJI_WORKER_HTTP"), ("intake", "HENJI_INTAKE_LISTEN")):
        port = SERVICES[name]["environment"][key].rpartition(":")[2]
        assert SERVICES[name]["healthcheck"]["test"][1:] == [
            *("python", "-m", "streams.live.probe"),
            f"http://127.0.0.1:{port}/live",
        ]


# -- the image -----------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text("utf-8"))
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in lines]


def test_the_image_has_two_stages_and_runs_as_nobody() -> None:
    steps = instructions()
    assert [word for word, _ in steps].count("FROM") == 2
    last = steps[max(number for number, (word, _) in enumerate(steps) if word == "FROM") :]
    assert ("USER", "10001:10001") in last
    # Nothing is installed in the stage that ships: it takes one folder from the other.
    assert [rest for word, rest in last if word in ("RUN", "COPY", "ADD")] == [
        "--from=build /app /app",
        "--from=build --chown=10001:10001 /state /var/lib/henji",
    ]


def test_no_instruction_goes_through_a_shell() -> None:
    for word, rest in instructions():
        if word in ("RUN", "CMD", "ENTRYPOINT"):
            assert isinstance(json.loads(rest), list)
        if word == "HEALTHCHECK":
            assert json.loads(rest.partition("CMD ")[2])[-1] == "http://127.0.0.1:6067/live"


def test_only_locked_wheels_are_installed() -> None:
    installs = [json.loads(rest) for word, rest in instructions() if word == "RUN" and '"pip", "install"' in rest]
    assert len(installs) == 3
    for words in installs:
        locked = {"--require-hashes", "--only-binary=:all:"} <= set(words)
        assert locked or {"--no-index", "--no-deps"} <= set(words)


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignore
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source
        for word, rest in instructions()
        if word == "COPY" and not rest.startswith("--from")
        for source in rest.split()[:-1]
    }
    assert {source.partition("/")[0] for source in copied} == allowed
    assert [source for source in copied if not (ROOT / source).exists()] == []


def pins(name: str) -> set[str]:
    return set(re.findall(r"^([\w.\[\]-]+==\S+)", (ROOT / "requirements" / name).read_text("utf-8"), re.MULTILINE))


def test_the_image_has_the_versions_that_are_tested() -> None:
    assert pins("run.lock") <= pins("dev.lock"), "make the locks of the image again: see docs/deployment.md"
    assert pins("build.lock") <= pins("dev.lock"), "make the locks of the image again: see docs/deployment.md"


def test_the_image_has_what_the_program_needs_and_no_test_tools() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = {re.split(r"[\[><=; ]", each)[0] for each in project["dependencies"]}
    locked = {pin.split("==")[0].split("[")[0] for pin in pins("run.lock")}
    assert wanted <= locked
    assert not {"pytest", "mypy", "ruff", "hypothesis"} & locked


# -- secrets -------------------------------------------------------------------------------------------------------


def made(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEPLOY / "make_secrets.py"), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_secrets_are_made_once_and_for_every_service(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert made(folder).returncode == 0
    assert {Path(each["file"]).name for each in COMPOSE["secrets"].values()} <= {each.name for each in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = {each.name: each.read_text() for each in folder.iterdir()}
    again = made(folder)
    assert again.returncode == 2
    assert "expected no secrets yet" in again.stdout
    assert {each.name: each.read_text() for each in folder.iterdir()} == before
    assert not any(secret in again.stdout for secret in before.values())


def test_the_tokens_of_the_intake_are_those_of_its_clients_and_only_the_console_may_order(tmp_path: Path) -> None:
    made(tmp_path)
    tokens = TokenFile(tmp_path / "intake_tokens", "test")
    gateway, console = ((tmp_path / name).read_text("utf-8") for name in ("intake_token", "console_token"))
    found = [tokens.find(token) for token in (gateway, console)]
    assert [(token.name, token.control) for token in found if token is not None] == [
        ("gateway", False),
        ("console", True),
    ]


def test_no_secret_is_in_the_tree() -> None:
    assert (DEPLOY / "secrets" / ".gitignore").read_text("utf-8").splitlines()[1:] == ["*", "!.gitignore"]


@pytest.fixture
def users(tmp_path: Path) -> Iterator[dict[str, redis.Redis]]:
    """A Redis with the users of the deployment: clients of each."""
    made(tmp_path)
    words = {
        "henji": (tmp_path / "redis_password").read_text(),
        "reader": (tmp_path / "redis_reader_password").read_text(),
    }
    with EmbeddedRedis() as server:
        admin = server.client()
        # The default user last: it may do nothing after that.
        for line in reversed((tmp_path / "redis_users").read_text().splitlines()):
            admin.execute_command("ACL", "SETUSER", *line.split()[1:])
        admin.close()
        clients = {
            who: redis.Redis.from_url(server.url, username=who, password=word, protocol=2)
            for who, word in words.items()
        }
        clients["default"] = redis.Redis.from_url(server.url, protocol=2)
        yield clients
        for client in clients.values():
            client.close()


def test_redis_lets_henji_do_its_work_and_nothing_else(users: dict[str, redis.Redis]) -> None:
    henji: Any = users["henji"]
    ledger = owned(henji)
    batch = outcome([change("c1"), change("c2")])
    batch.alerts = [alert()]
    ledger.commit([batch], position(1))
    token = ledger.claim()
    ledger.open("settings-1")
    assert Heartbeat(henji, Keys()).say(token, Keys().partition("events", 0), {0: "fresh"}, {}, NOW)
    ledger.commit([outcome([change("c1", churn=0.9)])], position(2))
    assert verify(henji) == []
    check_policy(henji)
    replay = owned(henji, keys=Keys.replay("may"))
    replay.commit([batch], position(1))
    replay.reset()
    for command in (("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("SET", "elsewhere", "1"), ("ACL", "LIST")):
        with pytest.raises(redis.exceptions.NoPermissionError):
            henji.execute_command(*command)


def test_redis_lets_a_reader_read_the_board_alone(users: dict[str, redis.Redis]) -> None:
    henji: Any = users["henji"]
    owned(henji).commit([outcome([change("c1")])], position(1))
    reader: Any = users["reader"]
    board = RiskBoard(reader)
    assert board.customer("c1") is not None
    assert board.meta() is not None
    for command in (("HSET", "risk:customer:c1", "churn", "0"), ("HGETALL", "henji:{0}:customers"), ("KEYS", "*")):
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.execute_command(*command)


def test_redis_lets_anybody_else_ping(users: dict[str, redis.Redis]) -> None:
    nobody: Any = users["default"]
    assert nobody.ping()
    with pytest.raises(redis.exceptions.NoPermissionError):
        nobody.execute_command("GET", "risk:meta")


# -- Prometheus and Grafana ----------------------------------------------------------------------------------------

DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "henji.json").read_text("utf-8"))
RULES = [rule for group in loaded(DEPLOY / "alerts.yml")["groups"] for rule in group["rules"]]
PROCESS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
TARGET = {"up", *PROCESS}
VALUES = {"fate": set(FATES), "state": set(INPUT_STATES), "stage": set(STAGES), "reason": set(REASONS)}


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    return panels + [rule["expr"] for rule in RULES]


def samples() -> dict[str, set[str]]:
    """Every series that a worker shows, with its labels; those of the scrape come with each."""
    scraped = {"job", "instance"}
    found = {name: set(scraped) for name in TARGET}
    for spec in CATALOGUE:
        labels = {*spec.labels, *scraped}
        if spec.kind == "histogram":
            found |= {f"{spec.name}_bucket": {*labels, "le"}, f"{spec.name}_sum": labels, f"{spec.name}_count": labels}
        else:
            found[spec.name] = labels
    return found


def named(expression: str) -> list[str]:
    return re.findall(r"\b(?:henji_\w+|process_\w+|up\b)", re.sub(r'"[^"]*"', '""', expression))


def test_there_are_expressions_to_check() -> None:
    assert len(expressions()) > 30


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_asks_for_what_a_worker_shows(expression: str) -> None:
    known = samples()
    names = named(expression)
    assert names
    assert [name for name in names if name not in known] == []
    labels = set.union(*(known[name] for name in names))
    for group in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in group.split(",")} <= labels
    for selector in re.findall(r"\{([^}]*)\}", expression):
        for label, value in re.findall(r'(\w+)="([^"]*)"', selector):
            assert label in labels
            assert value in VALUES.get(label, {value})
    assert all(expression.count(a) == expression.count(b) for a, b in ("()", "[]", "{}"))


def test_a_counter_is_never_shown_raw() -> None:
    counters = [spec.name for spec in CATALOGUE if spec.kind == "counter"]
    for expression in expressions():
        for name in counters:
            for before, after in re.findall(rf"(\w+\()?{name}(?:\{{[^}}]*\}})?(\[\w+\])?", expression):
                assert (before, bool(after)) in {("rate(", True), ("increase(", True)}, expression


def test_every_metric_is_on_the_dashboard_or_wakes_somebody() -> None:
    used = " ".join(expressions())
    assert [spec.name for spec in CATALOGUE if spec.name not in used] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_rule_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert set(rule["annotations"]) == {"summary", "do"}
    assert DURATION.fullmatch(rule.get("for", "1m"))
    for label in re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])):
        assert re.search(rf"by \([^)]*\b{label}\b", rule["expr"])


def test_the_rules_watch_what_matters() -> None:
    used = " ".join(rule["expr"] for rule in RULES)
    for name in ("lag_records", "ledger_conflicts", 'fate="dead"', 'state="stale"', "misrouted", "engine_failures"):
        assert name in used


def test_prometheus_finds_every_worker_and_the_rules() -> None:
    config = loaded(DEPLOY / "prometheus.yml")
    (job,) = config["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert found["names"] == ["worker"]
    assert f":{found['port']}" in SERVICES["worker"]["environment"]["HENJI_WORKER_HTTP"]
    mounted = {volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]}
    assert set(config["rule_files"]) <= mounted
    asked = {job for text in expressions() for job in re.findall(r'job="([^"]*)"', text)}
    assert asked == {job["job_name"]}


def test_grafana_has_the_data_source_and_the_dashboard() -> None:
    (source,) = loaded(DEPLOY / "grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == f"http://prometheus:{SERVICES['prometheus']['ports'][0].rpartition(':')[2]}"
    used = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel}
    assert used == {source["uid"]}
    (provider,) = loaded(DEPLOY / "grafana/provisioning/dashboards/henji.yml")["providers"]
    mounts = {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES["grafana"]["volumes"]}
    assert mounts[provider["options"]["path"]] == "./deploy/grafana/dashboards"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/henji.json"


def test_panels_do_not_overlap_and_each_says_what_it_shows() -> None:
    places: set[tuple[int, int]] = set()
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & places, panel["title"]
        places |= cells
        assert panel["type"] == "row" or panel["description"].endswith((".", "?"))
