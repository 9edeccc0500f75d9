"""Labels: what a person reads on them, and what a scanner does."""

import zlib
from io import BytesIO
from types import SimpleNamespace
from uuid import uuid4

import pytest
from pypdf import PdfReader

from delivery.deliveries.labels import SIZES, draw
from tests.auth.keys import sandbox_of
from tests.factories import delivery_in
from tests.web.answers import problem, wrong

PATH = "/api/deliveries/labels"
PLACE = {"line1": "12 Harbour Street", "line2": "Flat 3", "city": "Bristol", "postcode": "BS1 4ST", "country": "GB"}


def read(response):
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/pdf"
    return PdfReader(BytesIO(response.data))


def words(page):
    return page.extract_text()


def test_a_label_says_where_to_and_what(api):
    made = api.create(
        reference="order-1001",
        recipient={"name": "Grace Doorstep"},
        destination=PLACE,
        pickup={"line1": "1 Shop Road", "city": "Leeds", "country": "GB"},
        package={"pieces": 3, "weight_grams": 2500},
    )
    response = api.get(f"/api/deliveries/{made['id']}/label")
    [page] = read(response).pages

    text = words(page)
    for said in ("Grace Doorstep", *PLACE.values(), "1 Shop Road", "order-1001", "Pieces: 3", "2.5 kg", "Blue bicycle"):
        assert said in text.replace("BS1 4ST Bristol", "BS1 4ST Bristol Bristol")
    assert made["tracking_number"] in text
    assert [round(float(side) / 72 * 25.4) for side in page.mediabox[2:]] == [105, 148]
    assert response.headers["Content-Disposition"] == f'inline; filename="{made["tracking_number"]}.pdf"'
    assert response.data == api.get(f"/api/deliveries/{made['id']}/label").data


def test_the_label_of_a_test_says_so(api):
    """Nobody is to carry what was printed while trying."""
    for by, says in ((sandbox_of(api), True), (api, False)):
        [page] = read(by.get(f"/api/deliveries/{by.create()['id']}/label")).pages
        assert ("TEST" in words(page).split()) is says


def test_names_keep_their_letters(api):
    names = ["Ζωή Παπαδοπούλου", "Łucja Żółć", "Анна Её", "Nguyễn Văn Ạ", "Ğül İşçi", "Þóra Ægisdóttir"]
    ids = [api.create(recipient={"name": name})["id"] for name in names]
    pages = read(api.post(PATH, json={"ids": ids})).pages
    assert [name for name, page in zip(names, pages, strict=True) if name not in words(page)] == []


def test_labels_come_in_their_order_one_to_a_page_or_four_to_a_sheet(api):
    ids = [api.create(item_name=f"Thing {number}")["id"] for number in range(5)]
    order = [ids[3], ids[0], ids[4], ids[1], ids[2], ids[3]]
    small, large = (read(api.post(PATH, json={"ids": order, "size": size})) for size in ("a6", "a4"))

    shown = [next(place for place in range(5) if f"Thing {place}" in words(page)) for page in small.pages]
    assert shown == [3, 0, 4, 1, 2, 3]
    assert len(large.pages) == 2
    assert [words(page).count("Thing") for page in large.pages] == [4, 2]
    assert [round(float(side) / 72 * 25.4) for side in large.pages[0].mediabox[2:]] == [210, 297]


def test_one_that_is_not_theirs_to_see_is_named_and_nothing_printed(api, people):
    mine, theirs = api.create(), people.customer().create()
    gone = api.create()
    assert api.delete(f"/api/deliveries/{gone['id']}", headers={"If-Match": "*"}).status_code == 204
    response = api.post(PATH, json={"ids": [mine["id"], theirs["id"], gone["id"], str(uuid4())]})

    assert wrong(response) == {f"/ids/{place}": "not_found" for place in (1, 2, 3)}
    assert len(read(people.dispatcher().post(PATH, json={"ids": [mine["id"], theirs["id"]]})).pages) == 2
    problem(people.customer().get(f"/api/deliveries/{mine['id']}/label"), 404)


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": ["x"]}, {"ids": [str(uuid4())] * 101}, {"ids": "x"}])
def test_a_wrong_list_is_refused(api, body):
    assert all(pointer.startswith("/ids") for pointer in wrong(api.post(PATH, json=body)))


def test_a_wrong_size_is_refused(api):
    made = api.create()
    assert set(wrong(api.get(f"/api/deliveries/{made['id']}/label?size=a0"))) == {"/size"}
    assert set(wrong(api.post(PATH, json={"ids": [made["id"]], "size": "a0"}))) == {"/size"}


HOSTILE = {
    "long": "W" * 200,
    "long words": "Wörterbuch " * 18,
    "markup": "<b>&amp;</b> %PDF ) Tj ( \\",
    "Chinese": "北京市朝阳区建国路",
    "Arabic": "شارع الملك عبد الله (12) " * 5,
    "Hebrew": "רחוב הרצל (כניסה ב) 12 " * 5,
    "marks alone": "\u05b8\u064e\u034f",
    "emoji": "🚲🚲 👨‍👩‍👧",
    "combining": "e\u0301\u0302\u0303" * 40,
    "one wide letter": "﷽" * 100,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_whatever_people_are_called_there_is_a_label(api, text):
    place = {"line1": text, "line2": text, "city": text[:100], "region": text[:100], "country": "GB"}
    made = api.create(item_name=text, reference=text[:100], recipient={"name": text}, destination=place, pickup=place)
    [page] = read(api.get(f"/api/deliveries/{made['id']}/label")).pages
    assert made["tracking_number"] in words(page)


def row(**changes):
    given = delivery_in()
    fields = {"tracking_number": "7K3M9XW2QF4TB", "reference": None, "item_name": "X", "pickup": None, "package": None}
    return SimpleNamespace(
        **{**fields, "test": False, "recipient_name": "G", "destination": given["destination"], **changes},
    )


def test_scanners_read_the_codes():
    zxing = pytest.importorskip("zxingcpp")
    pdf = draw([row()], size="a6", company="Delivery", base_url="https://delivery.example")
    image, width, height = painted(pdf)
    found = {str(one.format): one.text for one in zxing.read_barcodes(memoryview(image).cast("B", (height, width)))}
    assert set(found.values()) == {"7K3M9XW2QF4TB", "https://delivery.example/track/7K3M9XW2QF4TB"}


def painted(pdf, *, scale=4):
    """The filled rectangles of a page as grey pixels: all that codes are made of."""
    content = PdfReader(BytesIO(pdf)).pages[0].get_contents()
    width, height = (round(side * scale) for side in SIZES["a6"])
    image, stack, matrix, color, boxes = bytearray(b"\xff" * width * height), [], (1, 0, 0, 1, 0, 0), 0.0, []
    for operands, operator in content.operations:
        values = [float(one) for one in operands] if operator in {b"cm", b"re", b"rg", b"g"} else []
        if operator == b"q":
            stack.append((matrix, color))
        elif operator == b"Q":
            matrix, color = stack.pop()
        elif operator == b"cm":
            matrix = times(values, matrix)
        elif operator in {b"rg", b"g"}:
            color = values[0]
        elif operator == b"re":
            boxes.append(values)
        elif operator in {b"f", b"f*", b"B", b"b", b"n", b"S"}:
            for box in boxes if operator not in {b"n", b"S"} else ():
                fill(image, width, height, corners(box, matrix, scale), round(255 * color))
            boxes = []
    return image, width, height


def times(one, other):
    a, b, c, d, e, f = one
    g, h, i, j, k, m = other
    return (a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m)


def corners(box, matrix, scale):
    x, y, wide, high = box
    a, _, _, d, e, f = matrix
    across, up = sorted((a * x + e, a * (x + wide) + e)), sorted((d * y + f, d * (y + high) + f))
    return [round(scale * one) for one in (*across, *up)]


def fill(image, width, height, box, shade):
    left, right, bottom, top = box
    for line in range(max(height - top, 0), min(height - bottom, height)):
        image[line * width + left : line * width + right] = bytes([shade]) * (right - left)


def test_a_hundred_labels_are_small_and_quick_to_draw():
    pdf = draw([row(recipient_name=f"Grace {number}") for number in range(100)], size="a6", company="D", base_url="u")
    assert len(pdf) < 600_000
    assert zlib.crc32(pdf) == zlib.crc32(
        draw([row(recipient_name=f"Grace {number}") for number in range(100)], size="a6", company="D", base_url="u")
    )
