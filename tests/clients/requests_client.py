"""Python with requests: requests_client.py BASE KEY"""

import sys
from concurrent.futures import ThreadPoolExecutor

import requests

base, key = sys.argv[1:3]
session = requests.Session()
session.auth = (key, "")
session.trust_env = False

got = session.get(f"{base}/v2/employees", params={"a": "1", "b": " "}, timeout=30)
assert got.status_code == 200, got.text
assert got.json() == {"method": "GET", "target": "/v2/employees?a=1&b=+", "size": 0}, got.text

posted = session.post(f"{base}/v1/vendors%3Asearch", json={"x": "y" * 100}, timeout=30)
assert posted.json()["target"] == "/v1/vendors:search", posted.text
assert posted.json()["size"] == 109, posted.text

streamed = session.post(f"{base}/v1/vendors:search", data=iter([b"a" * 70000, b"b" * 70000]), timeout=30)
assert streamed.json()["size"] == 140000, streamed.text

refused = session.get(f"{base}/v9/nothing", timeout=30)
assert refused.status_code == 403 and refused.json()["code"] == "route-denied", refused.text
assert session.get(f"{base}/v2/employees/404", timeout=30).status_code == 404


def one(number):
    return session.get(f"{base}/v2/employees?n={number}", timeout=30).json()["target"]


with ThreadPoolExecutor(10) as pool:
    targets = list(pool.map(one, range(40)))
assert targets == [f"/v2/employees?n={number}" for number in range(40)], targets
print("ok")
