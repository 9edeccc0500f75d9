"""What gunicorn, flask and rq load: the app, and the Redis address that `rq worker -c wsgi` asks for."""

from config import Config
from delivery.app import create_app

app = create_app(Config.load_or_exit())
REDIS_URL = app.config["REDIS_URL"]
