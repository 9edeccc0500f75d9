"""A file as uneven as those of marketplaces: month before day, times that are missing, states of another system."""

from collections import Counter

from tests.imports.making import bad_rows, imported, table

HEADER = ["order_id", "customer_id", "order_status", "purchased", "approved", "handed_over", "arrived", "promised"]
ROWS = [
    ["a1", "c1", "delivered", "10/2/2017 10:56", "10/2/2017 11:07",
     "10/4/2017 19:55", "10/10/2017 21:25", "10/18/2017 0:00"],
    ["a2", "c2", "canceled", "2/13/2018 9:01", "",
     "", "", "3/8/2018 0:00"],
    ["a3", "c3", "shipped", "11/5/2017 0:30", "11/5/2017 0:45",
     "11/9/2017 18:00", "", "11/30/2017 0:00"],
    ["a4", "c4", "delivered", "9/4/2016 21:15", "10/7/2016 13:18",
     "10/14/2016 10:40", "11/9/2016 7:47", "10/20/2016 0:00"],
    ["a5", "c5", "delivered", "5/1/2018 8:00", "",
     "5/3/2018 8:00", "5/2/2018 8:00", "4/20/2018 0:00"],
    ["a6", "c6", "unavailable", "13/1/2018 8:00", "",
     "", "", "2/1/2018 0:00"],
    ["a7", "", "processing", "10/15/2017 0:20", "",
     "", "", ""],
]  # fmt: skip
OPTIONS = {
    "mapping": {
        "reference": "order_id", "recipient.name": "customer_id", "window.earliest": "purchased",
        "window.latest": "promised",
    },
    "defaults": {
        "item_name": "Order", "destination.line1": "Not given", "destination.city": "Not given",
        "destination.country": "BR",
    },
    "date_format": "mdy",
    "time_zone": "America/Sao_Paulo",
}  # fmt: skip


def test_what_can_be_imported_is_and_the_rest_says_why(api):
    done = imported(api, table(ROWS, header=HEADER), options=OPTIONS)
    assert (done["rows"]["created"], done["rows"]["failed"]) == (4, 3)
    made = {one["reference"]: one for one in api.get("/api/deliveries").json["items"]}
    assert made.keys() == {"a1", "a2", "a3", "a4"}
    assert made["a1"]["window"] == {"earliest": "2017-10-02T13:56:00Z", "latest": "2017-10-18T02:00:00Z"}
    assert Counter(one["status"] for one in made.values()) == {"pending": 4}, (
        "another system's state is not our history"
    )
    said = {one["order_id"]: one["import_errors"] for one in bad_rows(api, done)}
    assert said["a5"] == "promised: Must not be before `earliest`."
    assert "It would be one with `date_format: dmy`." in said["a6"]
    assert "customer_id" in said["a7"]
    assert "set forward" in said["a7"], "at midnight of 15 October 2017 summer began there"
