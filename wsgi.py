"""What gunicorn, flask and rq load: the app, and the Redis that `rq worker -c wsgi` asks for."""

from config import Config
from delivery.app import create_app
from delivery.sentinel import Address, is_behind_sentinels

app = create_app(Config.load_or_exit())
url = app.config["REDIS_URL"]
SENTINEL = Address.of(url).for_rq() if is_behind_sentinels(url) else None
REDIS_URL = None if SENTINEL else url
