"""The Kubernetes API, as far as the agents of a node need it: calls, and objects that keep themselves current."""

import http.client
import json
import ssl
import threading
import time
import urllib.parse


class Api:
    """The API server that a JSON file names, with its authority and a client's certificate."""

    def __init__(self, path):
        with open(path) as file:
            said = json.load(file)
        self.host = urllib.parse.urlparse(said["server"]).netloc
        self.tls = ssl.create_default_context(cafile=said["ca"])
        self.tls.load_cert_chain(said["certificate"], said["key"])

    def open(self, method, path, body=None, kind="application/json", timeout=30):
        connection = http.client.HTTPSConnection(self.host, context=self.tls, timeout=timeout)
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
        return connection, connection.getresponse()

    def call(self, method, path, body=None, kind="application/json", accept=()):
        """One call; statuses of errors that are as good as a success are in `accept`."""
        connection, answer = self.open(method, path, body, kind)
        text = answer.read()
        connection.close()
        if answer.status >= 300 and answer.status not in accept:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text)

    def merge(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")


class Mirror(threading.Thread):
    """All objects of one kind by their uid, kept current by list and watch; `wake` is set when they change.

    `items` is None until they were listed once, and is replaced rather than changed."""

    def __init__(self, api, path, wake):
        super().__init__(daemon=True)
        self.api, self.path, self.wake, self.items = api, path, wake, None
        self.start()

    def run(self):
        while True:
            try:
                self.follow()
            except Exception as error:
                print("watch:", error, flush=True)
                time.sleep(0.5)

    def follow(self):
        listing = self.api.call("GET", self.path)
        self.put({item["metadata"]["uid"]: item for item in listing["items"]})
        version = listing["metadata"]["resourceVersion"]
        watch = f"{self.path}?watch=1&timeoutSeconds=240&resourceVersion={version}"
        connection, lines = self.api.open("GET", watch, timeout=300)
        for line in lines:
            event = json.loads(line)
            if event["type"] == "ERROR":
                break
            items, uid = dict(self.items), event["object"]["metadata"]["uid"]
            if event["type"] == "DELETED":
                items.pop(uid, None)
            else:
                items[uid] = event["object"]
            self.put(items)
        connection.close()

    def put(self, items):
        self.items = items
        self.wake.set()
