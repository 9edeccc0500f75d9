"""Files of deliveries as shops send them, and what uploads them and works on them."""

import csv
import io
import json

from delivery.imports.jobs import work

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


def upload(api, data, *, options=OPTIONS, filename="orders.csv", headers=None):
    """POST a file."""
    form = {"file": (io.BytesIO(data), filename), "options": json.dumps(options)}
    return api.post("/api/imports", data=form, content_type="multipart/form-data", headers=headers)


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
