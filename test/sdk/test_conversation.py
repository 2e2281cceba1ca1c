"""ProgressDB's Python SDK, as it is published, talks to a real `bobbin serve`.

Every public method of its client is called; a method that a later SDK adds fails the
last test until somebody calls it here. BOBBIN names the binary; scripts/sdk runs this.
"""

import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

import progressdb
import requests
from progressdb import ApiError, ProgressDB, ProgressDBClient

DENIED = "access denied: not thread owner or participant"
PAGINATION = {"before_anchor", "after_anchor", "has_before", "has_after", "count", "total"}


class Server:
    """One `bobbin serve` on an empty store and a free port."""

    def __init__(self, binary):
        self.folder = tempfile.TemporaryDirectory(prefix="bobbin-sdk-")
        env = {k: v for k, v in os.environ.items() if not k.startswith("BOBBIN")}
        self.process = subprocess.Popen(
            [binary, "serve", "--db", self.folder.name + "/db", "--addr", "127.0.0.1:0", "--json", "--quiet"],
            stdout=subprocess.PIPE,
            env=env,
        )
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"serve ended with {self.process.wait()} before it listened")
        self.hello = json.loads(line)

    def stop(self):
        self.process.terminate()
        code = self.process.wait(timeout=30)
        self.process.stdout.close()
        self.folder.cleanup()
        return code

    def requests_by_route(self):
        """How many requests each route has answered, as GET /metrics counts them."""
        text = requests.get(
            self.hello["url"] + "/metrics",
            headers={"Authorization": "Bearer " + self.hello["admin_key"]},
            timeout=10,
        ).text
        counts = {}
        for line in text.splitlines():
            if line.startswith("bobbin_http_requests_total{"):
                labels, number = line.rsplit(" ", 1)
                route = labels.split('route="')[1].split('"')[0]
                counts[route] = counts.get(route, 0) + int(float(number))
        return counts


class Recorder:
    """The SDK's client, unchanged; only the names of the methods called are kept."""

    def __init__(self, client):
        self.client = client
        self.called = set()

    def __getattr__(self, name):
        self.called.add(name)
        return getattr(self.client, name)


def setUpModule():
    global server, db
    server = Server(os.environ["BOBBIN"])
    db = Recorder(ProgressDB({"baseUrl": server.hello["url"] + "/", "apiKey": server.hello["backend_key"]}))


def tearDownModule():
    if server.stop() != 0:
        raise RuntimeError("serve did not stop well")


class Conversation(unittest.TestCase):
    def refused(self, status, text, call, *args):
        """The call must raise what the SDK makes of an error."""
        with self.assertRaises(ApiError) as caught:
            call(*args)
        error = caught.exception
        self.assertEqual((error.status_code, str(error)), (status, text))
        self.assertEqual(set(error.response), {"error", "code", "request_id"})

    def thread(self, user, title="a thread"):
        return db.create_thread({"title": title}, user)["key"]

    def post(self, thread, user, *bodies):
        return [db.create_thread_message(thread, {"body": body}, user)["key"] for body in bodies]

    def test_health(self):
        self.assertEqual(db.healthz(), {"status": "ok"})
        ready = db.readyz()
        self.assertEqual(ready["status"], "ok")
        self.assertTrue(ready["version"])

    def test_sign(self):
        signed = db.sign_user("ann")
        self.assertEqual(set(signed), {"signature", "userId"})
        self.assertEqual(signed["userId"], "ann")
        thread = self.thread("ann", "signed")
        answer = requests.get(
            server.hello["url"] + "/frontend/v1/threads",
            headers={
                "Authorization": "Bearer " + server.hello["frontend_key"],
                "X-User-ID": "ann",
                "X-User-Signature": signed["signature"],
            },
            timeout=10,
        )
        self.assertEqual([t["key"] for t in answer.json()["threads"]], [thread])
        self.refused(400, "invalid user ID: user ID cannot be empty", db.sign_user, "")
        self.refused(400, "invalid user ID: user ID too long (maximum 128 characters)", db.sign_user, "u" * 129)

    def test_a_thread_from_its_making_to_its_end(self):
        made = db.create_thread({"title": "First"}, "bea")
        self.assertEqual(set(made), {"key"})
        key = made["key"]
        thread = db.get_thread(key, "bea")["thread"]
        self.assertEqual((thread["key"], thread["title"], thread["author"]), (key, "First", "bea"))
        self.assertEqual(thread["created_ts"], thread["updated_ts"])
        self.assertLess(abs(thread["created_ts"] - time.time_ns()), 60e9)

        self.assertEqual(db.update_thread(key, {"title": "Second"}, "bea"), {"key": key})
        after = db.get_thread(key, "bea")["thread"]
        self.assertEqual((after["title"], after["created_ts"]), ("Second", thread["created_ts"]))
        self.assertGreater(after["updated_ts"], thread["updated_ts"])

        self.assertEqual(db.delete_thread(key, "bea"), {"key": key})
        self.refused(404, "thread not found", db.get_thread, key, "bea")
        self.assertEqual(db.list_threads(None, "bea")["threads"], [])

    def test_a_message_from_its_making_to_its_end(self):
        thread = self.thread("cal")
        body = {"text": "grüß Gott \U0001f980", "n": 12345678901234567890, "list": [1, None, {"a": "b"}]}
        made = db.create_thread_message(thread, {"body": body}, "cal")
        self.assertEqual(set(made), {"key"})
        key = made["key"]
        message = db.get_thread_message(thread, key, "cal")["message"]
        self.assertEqual((message["key"], message["thread"], message["author"]), (key, thread, "cal"))
        self.assertEqual(message["body"], body)

        self.assertEqual(db.update_thread_message(thread, key, {"body": "edited"}, "cal"), {"key": key})
        after = db.get_thread_message(thread, key, "cal")["message"]
        self.assertEqual((after["body"], after["created_ts"]), ("edited", message["created_ts"]))
        self.assertGreater(after["updated_ts"], message["updated_ts"])

        self.assertEqual(db.delete_thread_message(thread, key, "cal"), {"key": key})
        self.refused(404, "message not found", db.get_thread_message, thread, key, "cal")
        page = db.list_thread_messages(thread, None, "cal")
        self.assertEqual((page["messages"], page["pagination"]["total"]), ([], 0))

    def test_pages_of_messages(self):
        thread = self.thread("dot")
        keys = self.post(thread, "dot", *range(10))

        def page(**query):
            got = db.list_thread_messages(thread, query or None, "dot")
            self.assertEqual(set(got), {"thread", "messages", "pagination"})
            self.assertEqual(set(got["pagination"]), PAGINATION)
            self.assertEqual((got["thread"], got["pagination"]["total"]), (thread, 10))
            self.assertEqual(got["pagination"]["count"], len(got["messages"]))
            if got["messages"]:
                ends = got["messages"][0]["key"], got["messages"][-1]["key"]
                self.assertEqual((got["pagination"]["before_anchor"], got["pagination"]["after_anchor"]), ends)
            more = got["pagination"]["has_before"], got["pagination"]["has_after"]
            return [m["body"] for m in got["messages"]], more

        self.assertEqual(page(), (list(range(10)), (False, False)))
        self.assertEqual(page(limit=3), ([7, 8, 9], (True, False)))
        self.assertEqual(page(limit=3, before=keys[7]), ([4, 5, 6], (True, True)))
        self.assertEqual(page(limit=3, before=keys[2]), ([0, 1], (False, True)))
        self.assertEqual(page(limit=3, after=keys[1]), ([2, 3, 4], (True, True)))
        self.assertEqual(page(limit=3, after=keys[7]), ([8, 9], (True, False)))
        self.assertEqual(page(limit=2, anchor=keys[5]), ([3, 4, 5, 6, 7], (True, True)))
        self.assertEqual(page(limit=3, sort_by="created_ts"), ([7, 8, 9], (True, False)))
        self.refused(400, "invalid pagination: limit cannot exceed 1000", page_of(thread, "dot", limit=1001))
        self.refused(
            400,
            "invalid pagination: only one of anchor, before, after can be specified",
            page_of(thread, "dot", before=keys[1], after=keys[2]),
        )
        self.refused(400, "invalid pagination: unknown anchor", page_of(thread, "dot", anchor="nothing"))

    def test_pages_of_threads(self):
        keys = [self.thread("eva", f"thread {n}") for n in range(6)]

        def page(**query):
            got = db.list_threads(query or None, "eva")
            self.assertEqual(set(got), {"threads", "pagination"})
            self.assertEqual(set(got["pagination"]), PAGINATION)
            self.assertEqual(got["pagination"]["total"], 6)
            more = got["pagination"]["has_before"], got["pagination"]["has_after"]
            return [keys.index(t["key"]) for t in got["threads"]], more

        self.assertEqual(page(), ([5, 4, 3, 2, 1, 0], (False, False)))
        self.assertEqual(page(limit=2), ([5, 4], (False, True)))
        self.assertEqual(page(limit=2, after=keys[4]), ([3, 2], (True, True)))
        self.assertEqual(page(limit=2, before=keys[1]), ([3, 2], (True, True)))
        self.assertEqual(page(limit=1, anchor=keys[2]), ([3, 2, 1], (True, True)))
        self.post(keys[1], "eva", "this updates it")
        self.assertEqual(page(limit=3, sort_by="updated_ts"), ([1, 5, 4], (False, True)))
        self.assertEqual(page(limit=3, sort_by="updated_ts", after=keys[4]), ([3, 2, 0], (True, False)))
        self.refused(
            400,
            "invalid pagination: sort_by must be 'created_ts' or 'updated_ts'",
            db.list_threads,
            {"sort_by": "title"},
            "eva",
        )

    def test_what_is_refused(self):
        thread = self.thread("flo")
        [message] = self.post(thread, "flo", "hers")
        other = self.thread("flo")
        self.refused(400, "validation errors: title: cannot be empty", db.create_thread, {"title": ""}, "flo")
        self.refused(400, "validation errors: body: cannot be empty", db.create_thread_message, thread, {}, "flo")
        self.refused(400, "author required for backend requests", db.list_threads)
        self.refused(400, "author too long", db.list_threads, None, "u" * 129)
        self.refused(404, "thread not found", db.get_thread, "no/such%2Fkey", "flo")
        self.refused(404, "message not found", db.get_thread_message, thread, "nothing", "flo")
        self.refused(404, "message not found in thread", db.get_thread_message, other, message, "flo")
        for call, args in (
            (db.get_thread, ()),
            (db.update_thread, ({"title": "mine now"},)),
            (db.delete_thread, ()),
            (db.list_thread_messages, (None,)),
            (db.create_thread_message, ({"body": 1},)),
            (db.get_thread_message, (message,)),
            (db.update_thread_message, (message, {"body": 1})),
            (db.delete_thread_message, (message,)),
        ):
            self.refused(403, DENIED, call, thread, *args, "gus")
            self.refused(403, DENIED, call, "t:100000000000000000000001", *args, "flo")
        self.assertEqual(db.get_thread_message(thread, message, "flo")["message"]["body"], "hers")

        stranger = ProgressDB({"baseUrl": server.hello["url"], "apiKey": "unknown"})
        self.refused(401, "unauthorized", stranger.list_threads, None, "flo")
        frontend = ProgressDB({"baseUrl": server.hello["url"], "apiKey": server.hello["frontend_key"]})
        self.refused(401, "signature required", frontend.list_threads, None, "flo")
        self.refused(403, "forbidden", frontend.sign_user, "flo")

    def test_an_older_use_of_the_client(self):
        """A query may hold what the SDK's types do not name, like the author."""
        thread = self.thread("ida")
        self.assertEqual([t["key"] for t in db.list_threads({"author": "ida"})["threads"]], [thread])


def page_of(thread, user, **query):
    return lambda: db.list_thread_messages(thread, query, user)


class ZWholeSurface(unittest.TestCase):
    """Runs last: what the conversation above left out."""

    def test_every_method_was_called(self):
        methods = {name for name, _ in inspect.getmembers(ProgressDBClient, inspect.isfunction) if name[0] != "_"}
        self.assertEqual(methods - db.called, set())

    def test_every_request_met_a_route(self):
        """No method of the SDK asks for a route that Bobbin does not have."""
        counts = server.requests_by_route()
        counts.pop("show-metrics", None)
        self.assertEqual(
            set(counts),
            {
                "check-health", "check-ready", "sign-user",
                "create-thread", "list-threads", "get-thread", "update-thread", "delete-thread",
                "post-message", "list-messages", "get-message", "update-message", "delete-message",
                "none",
            },
        )
        # Requests that no route answered: those of the stranger and of the front end.
        self.assertEqual(counts["none"], 3)

    def test_the_package_is_the_published_one(self):
        self.assertEqual(inspect.getmodule(ProgressDB).__name__, "progressdb")
        self.assertIn("site-packages", progressdb.__file__)


if __name__ == "__main__":
    print("progressdb", __import__("importlib.metadata").metadata.version("progressdb"), file=sys.stderr)
    unittest.main(verbosity=2)
