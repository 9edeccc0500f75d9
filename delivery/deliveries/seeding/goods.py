"""What seeded deliveries are made of: goods, towns, tags, reasons and words."""

from typing import NamedTuple

from delivery.deliveries.states import State


class Item(NamedTuple):
    """A thing that is sent, and its package."""

    name: str
    weight_grams: int
    size_mm: tuple[int, int, int]  # length, width, height


class Town(NamedTuple):
    name: str
    region: str
    postcode: int  # the first of a hundred
    lat: float
    lng: float
    area: int  # of its telephones


class Reason(NamedTuple):
    """Why something happened: for machines, for staff, and for the recipient."""

    code: str | None
    note: str | None
    public_note: str | None


ITEMS = (
    Item("Blue bicycle", 14_500, (1450, 250, 800)),
    Item("Cast-iron frying pan", 2_700, (480, 300, 90)),
    Item("Ceramic tea set", 3_100, (400, 400, 250)),
    Item("Coffee beans, 1 kg", 1_050, (260, 140, 90)),
    Item("Desk lamp", 1_800, (420, 220, 220)),
    Item("Espresso machine", 9_800, (430, 380, 400)),
    Item("Framed map of the coast", 2_200, (820, 620, 60)),
    Item("Garden hose, 20 m", 3_600, (380, 380, 180)),
    Item("Hiking boots, size 42", 1_600, (350, 250, 140)),
    Item("Kitchen scales", 1_200, (280, 230, 80)),
    Item("Laptop, 14 inches", 1_900, (400, 300, 80)),
    Item("Microscope", 5_400, (450, 300, 280)),
    Item("Mountain tent for two", 2_900, (520, 200, 200)),
    Item("Noise-cancelling headphones", 600, (230, 210, 100)),
    Item("Office chair", 16_000, (720, 680, 400)),
    Item("Oil paints, 24 tubes", 1_400, (360, 240, 60)),
    Item("Potted olive tree", 8_200, (350, 350, 1100)),
    Item("Raincoat, size M", 700, (340, 260, 60)),
    Item("Record player", 6_300, (480, 400, 180)),
    Item("Running shoes, size 39", 900, (330, 210, 120)),
    Item("Sewing machine", 7_500, (470, 250, 360)),
    Item("Three novels", 1_100, (230, 160, 90)),
    Item("Toolbox, 86 pieces", 5_900, (450, 330, 110)),
    Item("Wool blanket", 1_500, (420, 320, 150)),
)
TOWNS = (
    Town("Albuquerque", "NM", 87_100, 35.084, -106.650, 505),
    Town("Atlanta", "GA", 30_300, 33.749, -84.388, 404),
    Town("Austin", "TX", 78_700, 30.267, -97.743, 512),
    Town("Boston", "MA", 2_100, 42.360, -71.059, 617),
    Town("Chicago", "IL", 60_600, 41.878, -87.630, 312),
    Town("Denver", "CO", 80_200, 39.739, -104.990, 303),
    Town("Minneapolis", "MN", 55_400, 44.978, -93.265, 612),
    Town("Nashville", "TN", 37_200, 36.163, -86.781, 615),
    Town("Phoenix", "AZ", 85_000, 33.448, -112.074, 602),
    Town("Portland", "OR", 97_200, 45.505, -122.675, 503),
    Town("Salt Lake City", "UT", 84_100, 40.761, -111.891, 801),
    Town("Seattle", "WA", 98_100, 47.606, -122.332, 206),
)
TAGS = ("b2b", "express", "fragile", "fresh", "gift", "heavy", "insured", "return-label", "same-day", "subscription")
NOTES = ("Please ring twice.", "The side entrance is open.", "Leave it with the neighbour on the left.", "Third floor.")
REASONS: dict[State, tuple[Reason, ...]] = {
    State.ATTEMPT_FAILED: (
        Reason("nobody_home", "Rang twice, left a card.", "Nobody was at home; we will try again."),
        Reason("address_not_found", "No such house number.", "We could not find the address."),
        Reason("closed", "Reception closes at four.", "The reception was closed."),
    ),
    State.ON_HOLD: (
        Reason("weather", "Road closed by snow.", "The weather holds us up."),
        Reason("address_check", "The postcode does not fit the town.", "We are checking the address."),
        Reason("damaged_label", "Label printed anew.", None),
    ),
    State.RETURNING: (
        Reason("refused", "Refused at the door.", "The parcel was not accepted and goes back."),
        Reason("unclaimed", "Not collected for a week.", "Nobody collected the parcel; it goes back."),
    ),
    State.CANCELLED: (
        Reason("changed_mind", None, "Cancelled at the sender's wish."),
        Reason("ordered_twice", "Same order as the day before.", None),
    ),
    State.LOST: (Reason("missing_in_depot", "Not found in two searches.", "We are sorry: the parcel was lost."),),
}
