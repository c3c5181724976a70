import http.client
import json
import threading
import unittest

import edition
import serve
from manifest import banner, digest


class Wire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        serve.log = lambda *args, **fields: None
        cls.server = serve.Server("127.0.0.1", 0, None)
        threading.Thread(target=cls.server.serve_forever, args=(0.05,), daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def ask(self, method, path, body=None, kind="application/json"):
        connection = http.client.HTTPConnection(*self.server.server_address, timeout=5)
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), json.loads(answer.read())
        connection.close()
        return found

    def post(self, body, kind="application/json"):
        return self.ask("POST", edition.PATH, body, kind)

    def test_it_says_what_it_is_with_a_digest_of_what_runs(self):
        status, headers, manifest = self.ask("GET", serve.MANIFEST)
        self.assertEqual((status, manifest["digest"]), (200, digest()))
        self.assertRegex(manifest["digest"], r"^sha256:[0-9a-f]{64}$")
        self.assertEqual(headers["Guilder-Edition"], banner(manifest))

    def test_an_item_that_is_wrong_is_refused_alone(self):
        status, _, found = self.post('{"tenant": 7, "items": [1, {}]}')
        codes = [item["problem"]["code"] for item in found["items"]]
        self.assertEqual((status, codes), (200, ["invalid-request"] * 2))

    def test_what_is_no_batch_is_refused(self):
        bodies = ["", "[", "[]", '{"tenant":7}', '{"tenant":7,"items":[]}', '{"items":[1]}']
        bodies += ['{"tenant":"7","items":[1]}', '{"tenant":7,"items":[1],"more":1}']
        bodies += [f'{{"tenant":{10**40},"items":[1]}}', '{"tenant":true,"items":[1]}']
        bodies += [
            '{"tenant":7,"tenant":8,"items":[1]}',
            '{"tenant":7,"items":[NaN]}',
            "[" * 99_999,
        ]
        bodies += [json.dumps({"tenant": 7, "items": [1] * 257}), b'"\xff"']
        for body in bodies:
            status, headers, _ = self.post(body)
            self.assertEqual((status, headers["Content-Type"]), (400, "application/problem+json"))
        self.assertEqual(self.post('{"tenant":7,"items":[1]}', "text/plain")[0], 415)
        self.assertEqual(self.ask("GET", edition.PATH)[0], 405)
        self.assertEqual(self.ask("GET", "/elsewhere")[0], 404)
