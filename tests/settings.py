"""Settings that production accepts, and a way to ask what it refuses."""

import pytest

from config import Config, ConfigError

PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://delivery:Vb7-w2Kq9_Zt@db:5432/delivery",
    "REDIS_URL": "redis://:m4Xr-Tq81_Lw@redis:6379/0",
    "SECRET_KEY": "q7Vd2-LzX9mBn4_RtY6wKc1FhJ8sPg3Q",
    "JWT_SECRET_KEY": "Zx5_Tn8vGb2-MkL4pWq9RdC7yHs1JfU6",
    "PUBLIC_BASE_URL": "https://delivery.example.org",
    "TRUSTED_HOSTS": "delivery.example.org",
}


def refused(environ):
    with pytest.raises(ConfigError) as caught:
        Config(environ)
    return caught.value.problems
