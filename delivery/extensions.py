"""Flask extensions, unbound; app.py binds them."""

from flask_jwt_extended import JWTManager
from flask_mail import Mail

jwt = JWTManager()
mail = Mail()
