"""Fires each alert by a fault, sees it resolve, and asks every panel of the dashboards for its data.

Called by scripts/alerts: the folder of binaries, the URL of a PostgreSQL server, and names of alerts or none for all.
"""
import contextlib
import http.server
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
BINARIES, POSTGRES, CHOSEN = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
BASE, PROMETHEUS, CHANNEL = 26000, "http://127.0.0.1:26090", 26091
PORTS = {"reservation": 1, "notice": 2, "diagnosis": 3, "lookup": 4, "acceptance": 5, "gateway": 8, "oauth": 10}
PATIENCE = 180
RESERVATION = {"reservatorName": "Jackson", "reservationDate": "2020-04-30", "phoneNumber": "010-1234-5678"}


def fleet(*words):
    command = [BINARIES / "fleet", *words, "--data", WORK / "data"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def status():
    return {row["service"]: row for row in json.loads(fleet("status", "--json"))["services"]}


def sql(service, statement):
    subprocess.run(["psql", "-q", "-v", "ON_ERROR_STOP=1", f"{POSTGRES}/{service}", "-c", statement],
                   check=True, stdout=subprocess.DEVNULL)


def until(what, is_so):
    started = time.monotonic()
    while not is_so():
        if time.monotonic() - started > PATIENCE:
            raise TimeoutError(f"in vain: {what}")
        time.sleep(0.25)


def firing():
    with urllib.request.urlopen(f"{PROMETHEUS}/api/v1/alerts", timeout=5) as answer:
        alerts = json.load(answer)["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


class Channels(http.server.ThreadingHTTPServer):
    # The default of 5 refuses most of a batch that is sent at once, and each is tried again a second later.
    request_queue_size = 128


class Channel(http.server.BaseHTTPRequestHandler):
    """Whoever takes the notices."""
    answer = 200

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(Channel.answer)
        self.end_headers()

    def log_message(self, *_):
        pass


class Load:
    """Reservations, at their own pace or as many at once as can be."""
    def __init__(self):
        self.threads, self.pause, self.ends = [], 0.1, False
        # Passwords are slow to check, on purpose: none while an alert about slowness is waited for.
        self.logs_in = not CHOSEN
        for number in range(48):
            self.threads.append(threading.Thread(target=self.work, args=(number,), daemon=True))
            self.threads[-1].start()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        """What people look at, so that every service has requests; and their tokens."""
        paths = ["reservations", "medicalRecords", "financialManagements", "notices", "reservationStats",
                 ".well-known/jwks.json"]
        while not self.ends:
            for path in paths:
                with contextlib.suppress(urllib.error.URLError, OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{BASE + PORTS['gateway']}/{path}", timeout=10).close()
            if self.logs_in:
                fleet("token", "--as", "customer")
            time.sleep(1)

    def work(self, number):
        request = urllib.request.Request(f"http://127.0.0.1:{BASE + PORTS['gateway']}/reservations",
                                         json.dumps(RESERVATION).encode(), {"content-type": "application/json"})
        while not self.ends:
            # What is refused or broken is the point of a fault, not a failure of this script.
            with contextlib.suppress(urllib.error.URLError, OSError):
                if number < 4 or self.pause == 0:
                    urllib.request.urlopen(request, timeout=10).close()
            time.sleep(self.pause or 0.01)


def restart_thrice():
    for _ in range(4):
        before = status()["lookup"]["pid"]
        os.kill(before, signal.SIGKILL)
        until("lookup is back", lambda: status()["lookup"]["state"] == "ready" and status()["lookup"]["pid"] != before)
        time.sleep(2)


def signal_to(service, which):
    os.kill(status()[service]["pid"], which)


def hold(service, statement):
    """A transaction that holds what it has taken until its client is ended."""
    return subprocess.Popen(["psql", "-q", f"{POSTGRES}/{service}", "-c", f"BEGIN; {statement}; SELECT pg_sleep(600)"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


HELD = []


def let_go():
    sql("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' "
        "AND pid <> pg_backend_pid()")
    while HELD:
        HELD.pop().wait()


def lock_unanswered():
    """Unanswered since a minute ago, and left alone by the reconciler until the lock is there."""
    sql("reservation", "INSERT INTO reservation (state, reservator_name, reservation_date, phone_number, customer_id, "
        "version, events, change_number, settle_after, decide_by, created_at, updated_at) SELECT 'PENDING', 'planted', "
        "'2020-04-30', '0', 'planted', 0, 0, 0, now + 10000, now - 60000, now, now "
        "FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) AS clock")
    HELD.append(hold("reservation", "SELECT FROM reservation WHERE customer_id = 'planted' FOR UPDATE"))


def shut_out(service):
    sql("postgres", f"ALTER DATABASE {service} WITH ALLOW_CONNECTIONS false")
    sql("postgres", f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{service}'")


def discover(service, *targets):
    """What Prometheus finds of a service, as names do in a cluster."""
    (WORK / f"{service}.json").write_text(json.dumps([{"targets": targets}]))


FAULTS = {
    "ServiceDown": ("notice is stopped", lambda: fleet("stop", "notice"), lambda: fleet("start", "notice")),
    "ServiceMissing": ("notice is nowhere to be found", lambda: discover("notice"),
                       lambda: discover("notice", f"127.0.0.1:{BASE + PORTS['notice']}")),
    "ServiceRestarting": ("lookup is killed four times", restart_thrice, lambda: None),
    "ErrorRate": ("diagnosis is stopped", lambda: fleet("stop", "diagnosis"), lambda: fleet("start", "diagnosis")),
    "BreakerOpen": ("diagnosis is stopped", lambda: fleet("stop", "diagnosis"), lambda: fleet("start", "diagnosis")),
    "SlowRequests": ("diagnosis hangs (SIGSTOP)", lambda: signal_to("diagnosis", signal.SIGSTOP),
                     lambda: signal_to("diagnosis", signal.SIGCONT)),
    "DatabaseDown": ("lookup's database lets nobody in", lambda: shut_out("lookup"),
                     lambda: sql("postgres", "ALTER DATABASE lookup WITH ALLOW_CONNECTIONS true")),
    "OutboxStuck": ("Kafka is stopped", lambda: fleet("stop", "kafka"), lambda: fleet("start", "kafka")),
    "RelayWithoutLeader": ("a stranger holds acceptance's lease",
                           lambda: sql("acceptance", "UPDATE relay_lease SET holder = 'a stranger', expires_at = "
                                       "4102444800000"),
                           lambda: sql("acceptance", "UPDATE relay_lease SET expires_at = 0")),
    "ConsumerLag": ("lookup's inbox is locked", lambda: HELD.append(hold("lookup", "LOCK TABLE inbox")), let_go),
    "DeadLetters": ("an event that nobody can read is published",
                    lambda: sql("acceptance", "INSERT INTO outbox (event_type, message_key, sequence, payload, "
                                "created_at) VALUES ('Treated', 'planted', 1, 'not JSON', 1795000000000)"),
                    lambda: [sql(name, "DELETE FROM dead_letter WHERE message_key = 'planted'")
                             for name in ("diagnosis", "acceptance", "notice", "lookup")]),
    "ReservationsOverdue": ("an unanswered reservation is locked", lock_unanswered, let_go),
    "NoticesFailing": ("the channel refuses every notice", lambda: setattr(Channel, "answer", 400),
                       lambda: setattr(Channel, "answer", 200)),
    # Last: it leaves a backlog behind.
    "RequestsShed": ("48 clients at once, where 8 are allowed", lambda: setattr(LOAD, "pause", 0),
                     lambda: setattr(LOAD, "pause", 0.1)),
}


def start_fleet():
    environment = os.environ | {
        "CHANNEL_KIND": "webhook", "CHANNEL_URL": f"http://127.0.0.1:{CHANNEL}/", "CHANNEL_SECRET": "alerts",
        "CHANNEL_FIRST_BACKOFF": "200ms", "CHANNEL_LONGEST_BACKOFF": "1s", "TREATMENT_SIMULATED_TIME": "5ms..10ms",
        "TREATMENT_MAX_CONCURRENCY": "8",
    }
    log = (WORK / "fleet.log").open("w")
    process = subprocess.Popen([BINARIES / "fleet", "up", "--open", "--port-base", str(BASE), "--postgres", POSTGRES,
                                "--data", WORK / "data"], stdout=log, stderr=log, env=environment)
    until("the fleet is ready", lambda: "ready in" in (WORK / "fleet.log").read_text())
    return process


def start_prometheus():
    """The real rules, with the waiting cut short: what counts is the fault, not how long it lasts."""
    for file, rules in RULES.items():
        rules = re.sub(r"for: \d+m", "for: 1s", rules)
        for long, short in (("15m", "90s"), ("5m", "10s"), ("1m", "5s")):
            rules = rules.replace(f"[{long}]", f"[{short}]")
        (WORK / file).write_text(rules)
    for name, port in PORTS.items():
        discover(name, f"127.0.0.1:{BASE + port}")
    scrapes = "".join(f"  - {{job_name: {name}, file_sd_configs: [{{files: [{name}.json]}}]}}\n" for name in PORTS)
    (WORK / "prometheus.yml").write_text("global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}\n"
                                         f"rule_files: [{', '.join(RULES)}]\nscrape_configs:\n{scrapes}")
    log = (WORK / "prometheus.log").open("w")
    process = subprocess.Popen(["prometheus", f"--config.file={WORK}/prometheus.yml",
                                f"--storage.tsdb.path={WORK}/prometheus",
                                f"--web.listen-address={PROMETHEUS.removeprefix('http://')}"], stdout=log, stderr=log)

    def answers():
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{PROMETHEUS}/-/ready", timeout=2).close()
            return True
        return False
    until("Prometheus is ready", answers)
    return process


def main():
    failed = []
    until("nothing fires", lambda: not firing())
    if not CHOSEN:
        # A rate over a minute needs one.
        time.sleep(75)
        if subprocess.run([HERE.parent.parent / "scripts/dashboards", "--against", PROMETHEUS]).returncode:
            failed.append("dashboards")
        LOAD.logs_in = False
    print(f"\n{'ALERT':<20} {'FAULT':<44} {'FIRES AFTER':>11} {'RESOLVED AFTER':>14}", flush=True)
    for alert, (fault, inject, heal) in FAULTS.items():
        if CHOSEN and alert not in CHOSEN:
            continue
        try:
            until(f"{alert} is silent", lambda: alert not in firing())
            injected = time.monotonic()
            inject()
            until(f"{alert} fires", lambda: alert in firing())
            fired = time.monotonic()
            heal()
            until(f"{alert} resolves", lambda: alert not in firing())
            resolved = time.monotonic() - fired
            print(f"{alert:<20} {fault:<44} {fired - injected:>9.1f} s {resolved:>12.1f} s", flush=True)
        except (TimeoutError, subprocess.CalledProcessError) as error:
            failed.append(alert)
            print(f"{alert:<20} {fault:<44} {error}", flush=True)
            heal()
    return failed


RULES = {file: (HERE / file).read_text() for file in ("alerts.yml", "alerts-cluster.yml")}
ALERTS = {name for rules in RULES.values() for name in re.findall(r"- alert: (\w+)", rules)}
if unknown := set(CHOSEN) - FAULTS.keys():
    sys.exit(f"there is no alert {', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
WORK = pathlib.Path(tempfile.mkdtemp(prefix="alerts-"))
channel = Channels(("127.0.0.1", CHANNEL), Channel)
threading.Thread(target=channel.serve_forever, daemon=True).start()
running = [start_fleet()]
try:
    running.append(start_prometheus())
    LOAD = Load()
    wrong = main() + sorted(ALERTS - FAULTS.keys())
    LOAD.ends = True
finally:
    let_go()
    for process in reversed(running):
        process.terminate()
        process.wait()
if wrong:
    sys.exit(f"not as it should be: {', '.join(wrong)}; logs are kept in {WORK}")
subprocess.run(["rm", "-rf", WORK], check=True)
