"""Python with httpx: httpx_client.py BASE KEY 1|2, the last being the version of HTTP"""

import asyncio
import sys

import httpx

base, key, version = sys.argv[1:4]


async def main():
    options = {"http1": version == "1", "http2": version == "2", "trust_env": False, "timeout": 30}
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=base, headers=headers, **options) as client:
        got = await client.get("/v2/employees", params={"a": "1"})
        assert got.status_code == 200, got.text
        assert got.http_version == ("HTTP/2" if version == "2" else "HTTP/1.1"), got.http_version
        assert got.json() == {"method": "GET", "target": "/v2/employees?a=1", "size": 0}, got.text

        posted = await client.post("/v1/vendors:search", content=b"x" * 100_000)
        assert posted.json()["size"] == 100_000, posted.text

        refused = await client.get("/v9/nothing")
        assert refused.status_code == 403 and refused.json()["code"] == "route-denied", refused.text
        assert (await client.get("/v2/employees/404")).status_code == 404

        answers = await asyncio.gather(*(client.get(f"/v2/employees?n={n}") for n in range(40)))
        targets = [answer.json()["target"] for answer in answers]
        assert targets == [f"/v2/employees?n={n}" for n in range(40)], targets
    print("ok")


asyncio.run(main())
