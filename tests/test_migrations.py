"""The migrations: one head, up from nothing, down again, and no difference to the models, on both databases."""

import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from delivery.app import create_app
from delivery.database import Base, db
from delivery.ops.schema import is_of_the_models
from tests.conftest import close, settings


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_app(request, tmp_path):
    url = f"sqlite:///{tmp_path}/empty.sqlite3"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_postgres_database")()
    app = create_app(settings(tmp_path, DATABASE_URL=url))
    flask_migrate.Migrate(app, db)
    with app.app_context():
        yield app
    close(app)


def tables():
    names = set(inspect(db.engine).get_table_names()) - {"alembic_version"}
    return {name for name in names if is_of_the_models(name, "table", {})}


def test_there_is_one_head():
    assert len(ScriptDirectory("migrations").get_heads()) == 1


def test_up_makes_what_the_models_say(empty_app):
    flask_migrate.upgrade(directory="migrations")

    with db.engine.connect() as connection:
        differences = compare_metadata(
            MigrationContext.configure(connection, opts={"include_name": is_of_the_models}), Base.metadata
        )
    assert differences == []
    assert tables() == set(Base.metadata.tables)


def test_constraints_are_those_of_the_models(empty_app):
    """Autogenerate does not look at CHECKs: compare their names with the models' ourselves."""
    flask_migrate.upgrade(directory="migrations")

    for name, table in Base.metadata.tables.items():
        made = {check["name"] for check in inspect(db.engine).get_check_constraints(name)}
        meant = {str(check.name) for check in table.constraints if type(check).__name__ == "CheckConstraint"}
        assert made == meant, name


def test_down_leaves_nothing_and_up_again_works(empty_app):
    flask_migrate.upgrade(directory="migrations")
    flask_migrate.downgrade(directory="migrations", revision="base")
    assert tables() == set()

    flask_migrate.upgrade(directory="migrations")
    assert tables() == set(Base.metadata.tables)


def test_down_takes_what_stands_in_the_tables(empty_app):
    flask_migrate.upgrade(directory="migrations")
    with db.engine.begin() as connection:
        connection.execute(text("INSERT INTO tags (id, name) VALUES ('018f0000000070008000000000000001', 'fragile')"))

    flask_migrate.downgrade(directory="migrations", revision="base")

    assert tables() == set()
