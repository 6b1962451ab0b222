#!/usr/bin/env python3
"""Breaks a real federation in one way after the other, and looks at what a real Prometheus says of it.

  chaos.py [--cairn PROGRAM] [--operator PROGRAM] [--speed 30] [--only NAME,…] [--report FILE] [--keep]

Four validators under steady load, an operator with an API server and etcd (where they are built), and a Prometheus with
dashboards/rules, in which every duration is divided by --speed: what waits for ten minutes there waits for twenty seconds
here. After each blow exactly the expected alerts have to fire, and nothing else; after it is healed all have to end.

All of it runs in namespaces of its own, for which it needs root: the network has only a loopback, so that cutting it
harms nobody, and what is mounted goes with the last process. Prints a table; with --report it is put between the markers
of that file. Ends with 0 when everything was as expected, 75 when something that it needs is not there."""

import argparse
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "../.."))
VALIDATORS = 4
BASE_PORT, PROMETHEUS, OPERATOR, API_SERVER, ETCD = 31200, 31290, 31291, 31292, 31293
# The one that things happen to, and the one that shares its fate when two are needed.
VICTIM, OTHER = 1, 2
# Validators run as users of their own, so that the firewall can tell their packets apart.
FIRST_USER = 42040
# No alert waits for less, however fast time goes: an election takes as long as ever.
SHORTEST_S = 6
# Windows of burn rates are days: they are divided by so much more.
BURN = 12
# Clients that write: how often, and how much. The second is for filling a disk.
GENTLE, HEAVY = (0.4, 200), (0.15, 60_000)
# How long nothing else may come once what was expected has, and how long that is waited for.
STILL_S, PATIENCE_S = 25, 240


class Failed(Exception):
    """Something was not as it should be."""


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def seconds(text):
    """A duration of Prometheus: 1h30m."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+)(ms|[smhd])", text))


def hastened(text, speed):
    """The rules of a file, as they are where time goes faster. Counts over a window stay what they are in real time."""
    group = ""

    def window(text, least):
        by = speed * (BURN if group == "cairn.service" else 1)
        return f"{int(1000 * max(seconds(text) / by, least))}ms"

    lines = []
    for line in text.splitlines():
        if line.startswith("- name:"):
            group = line.split(":")[1].strip()
        waits = re.fullmatch(r"(\s+for: )(\w+)", line)
        if waits and seconds(waits[2]):
            line = f"{waits[1]}{int(max(seconds(waits[2]) / speed, SHORTEST_S))}s"
        elif line.startswith("      ") and "runbook_url" not in line and "description:" not in line:
            counted = re.findall(r"increase\([^\[]*\[(\w+)\]", line)
            line = re.sub(r"\[(\w+)\]", lambda m: f"[{window(m[1], 4)}]", line)
            line = re.sub(r"offset (\w+)", lambda m: f"offset {window(m[1], 2)}", line)
            line = line.replace("3 * 86400", f"{3 * 86400 / speed}")
            for was in counted:
                times = seconds(was) / seconds(window(was, 4))
                line = line.replace("increase(", f"{times} * increase(", 1)
        lines.append(line)
    return "\n".join(lines) + "\n"


class Processes:
    """What was started here, and ends with this script."""

    def __init__(self, folder):
        self.folder, self.running = folder, []

    def start(self, name, command, **more):
        log = open(os.path.join(self.folder, name + ".log"), "ab")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **more)
        self.running.append(process)
        return process

    def end(self, process, how=signal.SIGTERM):
        if process.poll() is None:
            os.killpg(process.pid, how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def end_all(self):
        for process in reversed(self.running):
            self.end(process)


def get(port, path, timeout=5):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def until(what, ask, patience=PATIENCE_S):
    """Asks until there is an answer. What is asked may fail as long as it is not there."""
    give_up = time.monotonic() + patience
    while True:
        try:
            answer = ask()
            if answer:
                return answer
        except (OSError, ValueError, http.client.HTTPException):
            pass
        if time.monotonic() > give_up:
            raise Failed(f"never: {what}")
        time.sleep(0.2)


class Federation:
    """Validators, each a process and a user of its own."""

    def __init__(self, processes, cairn, folder):
        self.processes, self.cairn, self.data = processes, cairn, os.path.join(folder, "federation")
        self.running = {}
        # It lays everything out; from then on each is started by itself.
        layout = processes.start("layout", [cairn, "dev", "--data", self.data, "--base-port", str(BASE_PORT)])
        until("cairn dev makes a federation", lambda: all(self.ready(i) for i in range(VALIDATORS)))
        processes.end(layout)
        for index in range(VALIDATORS):
            self.place(index)

    def place(self, index):
        """Its data on a file system of its own, which can be full, and which nobody else fills."""
        data = os.path.join(self.folder(index), "data")
        aside = data + ".aside"
        os.rename(data, aside)
        os.mkdir(data)
        run("mount", "-t", "tmpfs", "-o", "size=1500m", "tmpfs", data)
        run("cp", "-a", aside + "/.", data)
        shutil.rmtree(aside)

    def folder(self, index):
        return os.path.join(self.data, f"validator-{index}")

    def port(self, index, which=0):
        """API, second port, admin, mesh."""
        return BASE_PORT + 10 * index + which

    def start(self, index, around=()):
        who = ["setpriv", f"--reuid={FIRST_USER + index}", "--clear-groups", "--inh-caps=+dac_override,+chown,+fowner",
               "--ambient-caps=+dac_override,+chown,+fowner"]
        command = [self.cairn, "node", "--config", os.path.join(self.folder(index), "cairn.toml")]
        self.running[index] = self.processes.start(f"validator-{index}", [*who, *around, *command])

    def stop(self, index, how=signal.SIGTERM):
        self.processes.end(self.running.pop(index), how)
        # What was started around it may end first.
        until(f"validator-{index} has ended", lambda: not self.answers(index))

    def answers(self, index):
        try:
            return get(self.port(index, 2), "/livez")[0] == 200
        except OSError:
            return False

    def ready(self, index):
        try:
            return get(self.port(index, 2), "/readyz")[0] == 200
        except OSError:
            return False

    def status(self, index):
        return json.loads(get(self.port(index, 2), "/status")[1])

    def all_ready(self):
        until("all are ready", lambda: all(self.ready(i) for i in range(VALIDATORS)))

    def follower(self, index):
        """Waits until that one does not lead the log; it is restarted if it does."""
        while self.status(index)["leads"]:
            say(f"validator-{index} leads the log: restarted, so that another one does")
            self.stop(index)
            until("another leads", lambda: any(self.status(i)["leads"] for i in self.running))
            self.start(index)
            self.all_ready()


class Load:
    """Clients that write, one request each, whatever became of those before."""

    def __init__(self, federation, cairn, folder):
        self.federation, self.cairn, self.folder = federation, cairn, folder
        self.pace, self.ending, self.statuses = GENTLE, threading.Event(), {}
        self.key = os.path.join(folder, "client.key")
        run(cairn, "key", "new", "--out", self.key)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for number in itertools.count():
            if self.ending.wait(self.pace[0]):
                return
            threading.Thread(target=self.write, args=(number,), daemon=True).start()

    def write(self, number):
        path = os.path.join(self.folder, f"asset-{number}.json")
        with open(path, "w") as file:
            json.dump({"number": number, "filling": "x" * self.pace[1]}, file)
        signed = subprocess.run(
            [self.cairn, "asset", "create", "--key", self.key, "--data", "@" + path, "--dry-run"], capture_output=True)
        os.unlink(path)
        connection = http.client.HTTPConnection("127.0.0.1", self.federation.port(number % VALIDATORS), timeout=90)
        try:
            connection.request("POST", "/api/v1/transactions?mode=commit", signed.stdout, {"Content-Type": "application/json"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            status = "none"
        finally:
            connection.close()
        self.statuses[status] = self.statuses.get(status, 0) + 1


class Prometheus:
    """A real one, with the real rules."""

    def __init__(self, processes, folder, federation, operator, speed):
        rules = os.path.join(ROOT, "dashboards/rules")
        # Where no operator is meant to be, none is missed.
        for name in ["cairn-validators.yaml"] + ["cairn-operator.yaml"] * (operator is not None):
            with open(os.path.join(rules, name)) as file, open(os.path.join(folder, name), "w") as out:
                out.write(hastened(file.read(), speed))
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": ["cairn-*.yaml"],
            "scrape_configs": [
                {"job_name": "cairn", "file_sd_configs": [{"files": [os.path.join(federation.data, "prometheus.json")]}]},
                {"job_name": "cairn-operator", "static_configs": [
                    {"targets": [f"127.0.0.1:{OPERATOR}"], "labels": {"namespace": "cairn-system"}}]},
            ],
        }
        with open(os.path.join(folder, "prometheus.yml"), "w") as file:
            json.dump(config, file)
        run("promtool", "check", "config", os.path.join(folder, "prometheus.yml"))
        processes.start("prometheus", [
            "prometheus", "--config.file", os.path.join(folder, "prometheus.yml"), "--log.level=warn",
            "--storage.tsdb.path", os.path.join(folder, "prometheus"), "--web.listen-address", f"127.0.0.1:{PROMETHEUS}"])
        until("Prometheus is ready", lambda: get(PROMETHEUS, "/-/ready")[0] == 200)

    def firing(self):
        """Names of alerts, each with whom it is about."""
        alerts = json.loads(get(PROMETHEUS, "/api/v1/alerts")[1])["data"]["alerts"]
        names = set()
        for alert in alerts:
            labels = alert["labels"]
            about = labels.get("cairndb_io_validator") or labels.get("reason") or labels.get("kind")
            if alert["state"] == "firing":
                names.add(" ".join(filter(None, [labels["alertname"], about])))
        return names

    def ask(self, query):
        answer = json.loads(get(PROMETHEUS, "/api/v1/query?query=" + urllib.parse.quote(query))[1])
        return {json.dumps(row["metric"]): row["value"][1] for row in answer["data"]["result"]}


class Operator:
    """The operator, with an API server that has no nodes."""

    def __init__(self, processes, program, tools, folder):
        self.processes, self.program, self.tools, self.folder = processes, program, tools, folder
        self.kubeconfig = os.path.join(folder, "kubeconfig")
        with open(self.kubeconfig, "w") as file:
            json.dump({
                "apiVersion": "v1", "kind": "Config", "current-context": "chaos",
                "clusters": [{"name": "chaos", "cluster": {
                    "server": f"https://127.0.0.1:{API_SERVER}", "insecure-skip-tls-verify": True}}],
                "users": [{"name": "chaos", "user": {"token": "chaos"}}],
                "contexts": [{"name": "chaos", "context": {"cluster": "chaos", "user": "chaos"}}],
            }, file)
        with open(os.path.join(folder, "tokens.csv"), "w") as file:
            file.write("chaos,chaos,chaos,system:masters\n")
        run("openssl", "genrsa", "-out", os.path.join(folder, "accounts.key"), "2048")
        url = f"http://127.0.0.1:{ETCD}"
        processes.start("etcd", [
            os.path.join(tools, "etcd"), "--data-dir", os.path.join(folder, "etcd"), "--listen-client-urls", url,
            "--advertise-client-urls", url, "--listen-peer-urls", f"http://127.0.0.1:{ETCD + 1}", "--log-level=error"])
        self.start_api_server()
        crd = os.path.join(ROOT, "crds/cairndb.io_blockchainclusters.yaml")
        until("the CRD is taken", lambda: self.kubectl("apply", "--server-side", "-f", crd).returncode == 0)
        self.start()
        self.leads()

    def start_api_server(self):
        at = lambda name: os.path.join(self.folder, name)
        self.api_server = self.processes.start("kube-apiserver", [
            os.path.join(self.tools, "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{ETCD}", "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", f"--secure-port={API_SERVER}",
            "--cert-dir=" + at("api-server"), "--token-auth-file=" + at("tokens.csv"),
            "--authorization-mode=AlwaysAllow", "--service-account-issuer=https://chaos", "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-key-file=" + at("accounts.key"), "--service-account-signing-key-file=" + at("accounts.key")])

    def kubectl(self, *words, text=None):
        return subprocess.run([os.path.join(self.tools, "kubectl"), "--kubeconfig", self.kubeconfig, *words],
                              input=text, capture_output=True, text=True)

    def start(self):
        environment = {**os.environ, "KUBECONFIG": self.kubeconfig, "POD_NAME": "chaos"}
        self.process = self.processes.start("operator", [
            self.program, "run", "--listen", f"127.0.0.1:{OPERATOR}", "--lease-namespace", "default"], env=environment)

    def leads(self):
        until("the operator leads", lambda: b"\ncairn_operator_leader 1\n" in get(OPERATOR, "/metrics")[1])

    def cluster(self, name, prefix):
        """A cluster whose state is to be in a TiKV that is not there: nothing of it is ever started."""
        text = json.dumps({
            "apiVersion": "cairndb.io/v1alpha1", "kind": "BlockchainCluster", "metadata": {"name": name, "namespace": "default"},
            "spec": {"validators": [{"name": "alice"}], "store": {"type": "TiKV"},
                     "tikv": {"pdEndpoints": ["pd.tikv.svc:2379"], "keyPrefix": prefix, "plaintext": True}},
        })
        done = self.kubectl("apply", "-f", "-", text=text)
        if done.returncode:
            raise Failed(done.stderr)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Chaos:
    """The stage: what there is, and what can be done to it."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.processes = Processes(folder)
        self.rows = []

    def set_up(self):
        flags = self.arguments
        self.federation = Federation(self.processes, flags.cairn, self.folder)
        for index in range(VALIDATORS):
            self.federation.start(index)
        self.federation.all_ready()
        tools = run(os.path.join(ROOT, "e2e/kubernetes/build.sh"), "--where").strip()
        self.operator = None
        if os.path.exists(os.path.join(tools, "stamp")) and os.path.exists(flags.operator):
            self.operator = Operator(self.processes, flags.operator, tools, self.folder)
        else:
            say("SKIPPED, not tested: the operator's alerts, because its API server is not built (make kubernetes-build)")
        self.load = Load(self.federation, flags.cairn, self.folder)
        self.prometheus = Prometheus(self.processes, self.folder, self.federation, self.operator, flags.speed)

    def quiet(self, doing):
        """Nothing fires, and nothing comes for a while."""
        until(f"nothing fires {doing}", lambda: not self.prometheus.firing())
        self.still(set(), doing)

    def still(self, expected, doing):
        give_up = time.monotonic() + STILL_S
        while time.monotonic() < give_up:
            firing = self.prometheus.firing()
            if firing != expected:
                raise Failed(f"{doing}: fires {sorted(firing)}, expected {sorted(expected)}")
            time.sleep(0.5)

    def play(self, name, what, stages, heals):
        """Blows, each with what fires after it, and what may on the way; and that all of it ends when it is healed."""
        if self.arguments.only and name not in self.arguments.only:
            return
        say(f"{name}: {what}")
        begun = time.monotonic()
        came, ended, why = {}, None, ""
        try:
            before = set()
            for blow, expected, *passing in stages:
                blow()
                self.watch(expected, before.union(*passing), came, begun)
                before = expected
        except Failed as failure:
            why = str(failure)
            say(f"FAILED {why}")
            for series, value in self.prometheus.ask("ALERTS").items():
                say(f"  {series} {value}")
        try:
            healed = time.monotonic()
            heals()
            ended = self.all_ends(name, came) - healed
            self.still(set(), f"after {name}")
        except Failed as failure:
            why = why or str(failure)
            say(f"FAILED {failure}")
        self.rows.append((what, came, ended, why))
        say(f"  answers to clients so far: {self.load.statuses}")

    def watch(self, expected, before, came, begun):
        """Until all of these fire and nothing else, but for what fired before and is going to end; and for a while after."""
        give_up = time.monotonic() + PATIENCE_S
        while True:
            firing = self.prometheus.firing()
            for name in firing - came.keys():
                came[name] = time.monotonic() - begun
                say(f"  {name} fires after {came[name]:.0f} s")
            if firing - expected - before:
                raise Failed(f"fires {sorted(firing - expected - before)}, which was not expected")
            if firing == expected:
                return self.still(expected, "once all had fired")
            if time.monotonic() > give_up:
                raise Failed(f"{sorted(expected - firing)} do not fire, {sorted(firing - expected)} still do")
            time.sleep(0.3)

    def all_ends(self, name, came):
        """When nothing fired any more."""
        def over():
            firing = self.prometheus.firing()
            for late in firing - came.keys():
                say(f"  {late} fires while it heals")
                came[late] = float("nan")
            return not firing

        until(f"all ends after {name}", over, 2 * PATIENCE_S)
        return time.monotonic()

    def story(self):
        victim, other = f"validator-{VICTIM}", f"validator-{OTHER}"
        federation = self.federation
        errors = {"CairnWriteErrorsBurnFast", "CairnWriteErrorsBurnSlow"}
        say("steady, under load")
        self.quiet("under load")
        self.play(
            "kill-one", "one validator is killed",
            [(lambda: federation.stop(VICTIM, signal.SIGKILL), {f"CairnValidatorDown {victim}", "CairnQuorumAtRisk"})],
            lambda: self.again(VICTIM))
        self.play(
            "kill-two", "two of four are killed",
            [(lambda: [federation.stop(index, signal.SIGKILL) for index in (VICTIM, OTHER)],
              {f"CairnValidatorDown {victim}", f"CairnValidatorDown {other}", "CairnNoQuorum"} | errors)],
            lambda: self.again(VICTIM, OTHER))
        self.play(
            "partition", "one is cut off from the others; Prometheus and clients reach it",
            [(self.cut, {f"CairnPeersMissing {victim}", "CairnQuorumAtRisk"} | errors)], self.mend)
        self.play(
            "slow-disk", "one in twenty syncs of one validator's disk takes 0.7 s longer",
            [(self.slow_disk, {f"CairnDiskSlow {victim}"})],
            lambda: (federation.stop(VICTIM), self.again(VICTIM)))
        self.play(
            "full-disk", "the disk of one fills, and then is full",
            [(lambda: self.fill(0.06), {f"CairnDiskAlmostFull {victim}"}),
             (lambda: self.fill(0), {f"CairnValidatorDown {victim}", "CairnQuorumAtRisk"}, {f"CairnSearchBehind {victim}"})],
            self.empty)
        if self.operator is not None:
            self.operator_story()
        self.load.ending.set()
        say("idle")
        self.quiet("while nobody writes")

    def operator_story(self):
        operator, processes = self.operator, self.processes
        operator.cluster("first", "gold")
        self.play(
            "operator", "the operator is stopped",
            [(lambda: processes.end(operator.process), {"CairnOperatorDown"})],
            lambda: (operator.start(), operator.leads()))
        self.play(
            "rival", "a second BlockchainCluster asks for the TiKV prefix of the first",
            [(lambda: operator.cluster("second", "gold"), {"CairnClusterDegraded PrefixConflict"})],
            lambda: operator.kubectl("delete", "bcc", "second", "-n", "default"))

    def again(self, *indexes):
        for index in indexes:
            self.federation.start(index)
        self.federation.all_ready()

    def cut(self):
        """Nothing of its mesh arrives, in either direction and without a word."""
        ours, theirs = self.federation.port(VICTIM, 3), [self.federation.port(i, 3) for i in range(VALIDATORS) if i != VICTIM]
        run("nft", "add table inet chaos")
        run("nft", "add chain inet chaos out { type filter hook output priority 0 ; }")
        ports = ", ".join(map(str, theirs))
        for rule in (f"meta skuid {FIRST_USER + VICTIM} tcp dport {{ {ports} }} drop", f"tcp dport {ours} drop", f"tcp sport {ours} drop"):
            run("nft", f"add rule inet chaos out {rule}")

    def mend(self):
        run("nft", "delete table inet chaos")
        self.federation.all_ready()

    def slow_disk(self):
        self.federation.follower(VICTIM)
        self.federation.stop(VICTIM)
        calls = "fdatasync,fsync,sync_file_range"
        late = f"inject={calls}:delay_exit=700000:when=20+20"
        self.federation.start(VICTIM, around=(
            "strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", late))

    def fill(self, share):
        """Leaves so much of the disk; when that is nothing, what is written from now on is large, so that the end comes."""
        data = os.path.join(self.federation.folder(VICTIM), "data")
        if not share:
            self.load.pace = HEAVY
        with open(os.path.join(data, "ballast"), "ab") as ballast:
            room = os.statvfs(data)
            more = int(room.f_bavail * room.f_frsize - share * room.f_blocks * room.f_frsize)
            os.posix_fallocate(ballast.fileno(), ballast.tell(), max(more, 1))

    def empty(self):
        self.load.pace = GENTLE
        os.unlink(os.path.join(self.federation.folder(VICTIM), "data/ballast"))
        if self.federation.running[VICTIM].poll() is None:
            self.federation.stop(VICTIM)
        self.again(VICTIM)

    def table(self):
        lines = ["| what happens | what fires, and after how many seconds | all ended after | outcome |", "|---|---|---|---|"]
        for what, came, ended, why in self.rows:
            fired = sorted(came.items(), key=lambda item: item[1])
            fired = ", ".join(f"{name} ({'while it healed' if after != after else f'{after:.0f}'})" for name, after in fired)
            lines.append(f"| {what} | {fired} | {'' if ended is None else f'{ended:.0f} s'} | {why or 'as expected'} |")
        return "\n".join(lines) + "\n"


def report(path, table, speed):
    head = f"Written by `make chaos`. Durations were divided by {speed:g}, those of burn rates by {speed * BURN:g}, and none was shorter than {SHORTEST_S} s.\n\n"
    with open(path) as file:
        text = file.read()
    replaced = re.sub(r"(<!-- chaos -->\n).*?(<!-- end of chaos -->)", lambda m: m[1] + head + table + m[2], text, flags=re.S)
    with open(path, "w") as file:
        file.write(replaced)


def missing(arguments):
    programs = ["prometheus", "promtool", "nft", "setpriv", "strace", "openssl", "unshare", "mount"]
    lacking = [name for name in programs if not shutil.which(name)]
    if os.geteuid():
        lacking.append("root")
    return lacking + [path for path in [arguments.cairn] if not os.path.exists(path)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cairn", default=os.path.join(ROOT, "target/debug/cairn"))
    parser.add_argument("--operator", default=os.path.join(ROOT, "target/debug/cairn-operator"))
    parser.add_argument("--speed", type=float, default=30)
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--report")
    parser.add_argument("--keep", action="store_true", help="leave the logs where they are")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    lacking = missing(arguments)
    if lacking:
        print("SKIPPED, not tested: alerts on a real federation, because there is no", ", ".join(lacking), file=sys.stderr)
        sys.exit(75)
    if not arguments.inside:
        apart = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        os.execvp("unshare", ["unshare", *apart, sys.executable, *sys.argv, "--inside"])
    run("ip", "link", "set", "lo", "up")
    folder = tempfile.mkdtemp(prefix="cairn-chaos-")
    os.chmod(folder, 0o755)
    chaos = Chaos(arguments, folder)
    well = False
    try:
        chaos.set_up()
        chaos.story()
        well = all(not why for *_, why in chaos.rows)
    except Failed as failure:
        say(f"FAILED {failure}")
    finally:
        chaos.processes.end_all()
    print(chaos.table(), end="")
    if arguments.report and chaos.rows:
        report(arguments.report, chaos.table(), arguments.speed)
    if arguments.keep or not well:
        print("logs:", folder)
    else:
        for index in range(VALIDATORS):
            run("umount", os.path.join(chaos.federation.folder(index), "data"))
        shutil.rmtree(folder)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
