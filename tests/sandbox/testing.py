"""What tests of the sandbox share."""


def advance(key, delivery, *, headers=None, **body):
    return key.post(f"/api/sandbox/deliveries/{delivery['id']}/advance", json=body, headers=headers)
