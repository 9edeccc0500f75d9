"""Files of deliveries as shops send them, and what uploads them and works on them."""

import csv
import io
import json
from uuid import UUID

from delivery.cli import CLI
from delivery.database import transaction
from delivery.imports import looking, services, templates
from delivery.imports.files import Upload
from delivery.imports.jobs import work
from delivery.imports.schemas import SettingsIn, with_defaults
from delivery.web import Caller

COLUMNS = ["order", "name", "mail", "phone", "street", "town", "country"]
MAPPING = {
    "reference": "order",
    "recipient.name": "name",
    "recipient.email": "mail",
    "recipient.phone": "phone",
    "destination.line1": "street",
    "destination.city": "town",
    "destination.country": "country",
}
OPTIONS = {"mapping": MAPPING, "defaults": {"item_name": "Parcel"}}


def row(number, **changes):
    """A good row, as a list of cells."""
    cells = {
        "order": f"SO-{number}", "name": f"Grace {number}", "mail": f"grace{number}@home.example",
        "phone": "+442079460000", "street": f"{number} Harbour Street", "town": "Bristol", "country": "GB",
    }  # fmt: skip
    return [{**cells, **changes}[name] for name in COLUMNS]


def table(rows, *, header=COLUMNS, delimiter=",", encoding="utf-8", end="\r\n"):
    """The bytes of a CSV file."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode(encoding)


def rows(count, **changes):
    return [row(number, **changes) for number in range(1, count + 1)]


def form(words, files):
    """What to POST: werkzeug's own client would put it into a file, and leave that open."""
    parts = [(f'name="{name}"', word.encode()) for name, word in words.items()]
    parts += [(f'name="{name}"; filename="{filename}"', data) for name, (filename, data) in files.items()]
    head = "--boundary\r\nContent-Disposition: form-data; {}\r\n\r\n"
    body = b"".join(head.format(about).encode() + data + b"\r\n" for about, data in parts)
    return {"data": body + b"--boundary--\r\n", "content_type": "multipart/form-data; boundary=boundary"}


def upload(api, data, *, options=OPTIONS, filename="orders.csv", headers=None):
    """POST a file."""
    return api.post(
        "/api/imports", headers=headers, **form({"options": json.dumps(options)}, {"file": (filename, data)})
    )


def run(app, *, seconds=30):
    """Do what a worker does, here."""
    with app.app_context():
        while work(seconds=seconds):
            pass


def imported(api, data, **how):
    """Upload a file and have it imported; returns the import as the API shows it then."""
    response = upload(api, data, **how)
    assert response.status_code == 202, response.text
    run(api.app)
    return api.get(response.headers["Location"]).json


def bad_rows(api, done):
    """The rows of errors.csv, as dictionaries."""
    response = api.get(f"/api/imports/{done['id']}/errors.csv")
    assert response.status_code == 200, response.text
    text = response.data.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=done["delimiter"]))


def one_delivery():
    """A file that needs no settings: its columns are named as fields."""
    names = ["item_name", "recipient.name", "destination.line1", "destination.city", "destination.country"]
    return table([["Parcel", "Grace", "12 Harbour Street", "Bristol", "GB"]], header=names)


def asked(app, owner_id, *, data=None, options=OPTIONS, dry_run=False, notify=False):
    """The id of an import that nobody has worked on yet, for an account, as an operator asks for one."""
    upload = Upload(most_bytes=2**30, filename="orders.csv")
    with app.app_context():
        upload.write(data or table(rows(2)))
        upload.end()
        looked = looking.look(upload.import_id, with_defaults(SettingsIn().load(options)))
        with transaction():
            how = {"dry_run": dry_run, "notify": notify, "again": True}
            return str(services.submit(CLI, upload, looked, owner_id=UUID(owner_id), **how).id)


def template(app, owner_id, *, name="Marketplace", **settings):
    """The id of a new template of somebody's."""
    by = Caller(id=UUID(owner_id), role="customer")
    with app.app_context(), transaction():
        return str(templates.create(by, name=name, **settings).id)
