"""The words of captions: tables only, which `captions` makes sentences of."""

from videorfsplat.data.worlds.grammar import (
    BACKGROUNDS,
    FLOWER_COLORS,
    GROUNDS,
    SIZES,
    TIMES,
    WEATHERS,
)
from videorfsplat.data.worlds.motions import MOTIONS
from videorfsplat.data.worlds.objects import KINDS, PALETTE, SECONDARY_KINDS

UNMENTIONED = "unmentioned"

MINIMUM_WORDS = 6
MAXIMUM_WORDS = 40

ATTRIBUTE_VALUES: dict[str, tuple[str, ...]] = {
    "kind": tuple(KINDS),
    "main_color": tuple(PALETTE),
    "accent_color": ("none", *PALETTE),
    "size": SIZES,
    "ground": GROUNDS,
    "ground_color": ("none", *FLOWER_COLORS),
    "time": TIMES,
    "weather": WEATHERS,
    "background": BACKGROUNDS,
    "motion": MOTIONS,
    "secondary": tuple(SECONDARY_KINDS),
    "secondary_color": tuple(PALETTE),
}
"""Labels of each attribute; a caption that does not speak of one has `UNMENTIONED`.

For the last two it then has an empty list."""

COLOR_WORDS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet", "bright red"),
    "orange": ("orange", "tangerine", "bright orange", "amber"),
    "yellow": ("yellow", "lemon yellow", "golden yellow", "bright yellow"),
    "green": ("green", "emerald", "leaf green", "bright green"),
    "blue": ("blue", "cobalt", "royal blue", "bright blue"),
    "purple": ("purple", "violet", "lilac"),
    "pink": ("pink", "rose", "rosy pink"),
    "white": ("white", "snow-white", "pure white"),
    "black": ("black", "jet-black", "coal-black"),
    "brown": ("brown", "chestnut", "chocolate brown"),
    "gray": ("gray", "grey", "ash gray"),
}

KIND_WORDS: dict[str, tuple[str, ...]] = {
    "house": ("house", "cottage", "home", "dwelling"),
    "castle": ("castle", "fortress", "fairytale castle", "castle with towers"),
    "lighthouse": ("lighthouse", "beacon tower", "striped lighthouse"),
    "windmill": ("windmill", "mill", "old windmill"),
    "pine tree": ("pine tree", "fir tree", "pine", "conifer"),
    "tree": ("tree", "leafy tree", "round tree", "broadleaf tree"),
    "mushroom": ("mushroom", "toadstool", "spotted mushroom"),
    "cactus": ("cactus", "saguaro", "desert cactus"),
    "car": ("car", "automobile", "motorcar"),
    "bus": ("bus", "coach", "city bus"),
    "sailboat": ("sailboat", "boat", "sailing boat", "sailing ship"),
    "rocket": ("rocket", "spaceship", "space rocket", "rocket ship"),
    "hot air balloon": ("hot air balloon", "balloon", "hot-air balloon"),
    "tent": ("tent", "camping tent", "camp tent"),
    "well": ("well", "water well", "wishing well", "stone well"),
    "fountain": ("fountain", "water fountain", "splashing fountain"),
    "snowman": ("snowman", "snow man", "snow figure"),
    "robot": ("robot", "toy robot", "android"),
    "horse": ("horse", "pony", "steed"),
    "dog": ("dog", "puppy", "hound"),
    "cat": ("cat", "kitten", "kitty"),
    "duck": ("duck", "rubber duck", "duckling"),
    "teapot": ("teapot", "tea pot", "tea kettle"),
    "armchair": ("armchair", "chair", "easy chair", "comfy chair"),
}

ACCENT_PARTS: dict[str, tuple[str, ...]] = {
    "house": ("roof", "tiled roof", "gable roof"),
    "castle": ("roofs", "pointed roofs", "tower roofs"),
    "lighthouse": ("stripes", "bands", "rings"),
    "windmill": ("sails", "blades", "wings"),
    "mushroom": ("spots", "dots", "speckles"),
    "cactus": ("flowers", "blossoms", "blooms"),
    "car": ("roof", "top", "rooftop"),
    "bus": ("stripe", "roof and stripe", "trim"),
    "sailboat": ("sails", "canvas sails", "sail"),
    "rocket": ("fins", "nose and fins", "tip and fins"),
    "hot air balloon": ("stripes", "panels", "bands"),
    "tent": ("entrance", "door flap", "front flap"),
    "well": ("roof", "canopy", "wooden roof"),
    "snowman": ("scarf", "woolen scarf", "scarf and hat band"),
    "robot": ("arms and legs", "limbs", "arms"),
    "horse": ("mane", "mane and tail", "tail"),
    "dog": ("collar", "neckband", "neck collar"),
    "cat": ("collar", "neckband", "neck collar"),
    "teapot": ("lid", "cover", "lid and band"),
    "armchair": ("cushions", "pillows", "seat cushions"),
}

ROOFED: dict[str, str] = {
    "house": "roofed",
    "castle": "roofed",
    "well": "roofed",
    "lighthouse": "striped",
    "windmill": "sailed",
    "hot air balloon": "striped",
    "mushroom": "spotted",
    "sailboat": "sailed",
    "horse": "maned",
    "rocket": "finned",
}
"""The adjective of the accent, as in "a red-roofed white house"."""

SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "medium": ("medium-sized", "mid-sized", "average-sized"),
    "large": ("large", "big", "huge"),
}

GROUND_WORDS: dict[str, tuple[str, ...]] = {
    "meadow": (
        "on a green meadow",
        "on a grassy field",
        "on the grass",
        "on a lawn",
        "in a green pasture",
    ),
    "snow": (
        "in the snow",
        "on snowy ground",
        "on a snow-covered field",
        "in a white winter landscape",
    ),
    "sand": (
        "on the sand",
        "in the desert",
        "on a sandy plain",
        "in a sandy desert",
        "among dunes",
    ),
    "lake": (
        "by a lake",
        "at the edge of a lake",
        "on a small island in a lake",
        "beside the water",
        "surrounded by water",
        "on the shore of a blue lake",
    ),
    "pavement": (
        "on a stone pavement",
        "on a paved square",
        "on stone tiles",
        "on a plaza of gray stone",
    ),
    "autumn leaves": (
        "on autumn leaves",
        "on fallen leaves",
        "on ground covered with autumn leaves",
        "on a carpet of orange leaves",
    ),
    "flower field": (
        "in a field of flowers",
        "in a flower field",
        "on a flowery meadow",
        "among blossoms",
    ),
    "dirt": ("on bare earth", "on brown soil", "on a dirt ground", "on muddy ground"),
}

BOAT_GROUND_WORDS: tuple[str, ...] = (
    "on a lake",
    "on the water",
    "floating on a blue lake",
    "on calm water",
)

COLORED_FLOWERS: tuple[str, ...] = (
    "in a field of {color} flowers",
    "on a meadow full of {color} flowers",
    "among {color} blossoms",
)

TIME_WORDS: dict[str, tuple[str, ...]] = {
    "day": ("in daylight", "at noon", "during the day", "in the afternoon", "on a bright day"),
    "sunset": ("at sunset", "in the evening glow", "at dusk", "in golden evening light"),
    "night": ("at night", "in the moonlight", "at midnight", "after dark", "by night"),
    "dawn": ("at dawn", "at sunrise", "early in the morning", "in pale morning light"),
}

WEATHER_WORDS: dict[str, tuple[str, ...]] = {
    "clear": ("under a clear sky", "in clear weather", "under a cloudless sky"),
    "cloudy": (
        "under a cloudy sky",
        "with clouds in the sky",
        "under drifting clouds",
        "with fluffy clouds above",
    ),
    "overcast": (
        "under an overcast sky",
        "under a gray sky",
        "in dull weather",
        "under heavy gray clouds",
    ),
    "foggy": ("in fog", "in the mist", "in thick fog", "on a foggy day", "in misty air"),
}

NIGHT_CLEAR_WORDS: tuple[str, ...] = (
    "under a starry sky",
    "under the stars",
    "under the moon and stars",
)

FOGGY_WORDS_WITHOUT_HOUR: tuple[str, ...] = (
    "in fog",
    "in the mist",
    "in thick fog",
    "in misty air",
)

BACKGROUND_WORDS: dict[str, tuple[str, ...]] = {
    "hills": (
        "with hills in the distance",
        "with rolling hills behind",
        "before distant hills",
        "hills on the horizon",
    ),
    "mountains": (
        "with mountains in the distance",
        "with mountain peaks behind",
        "before snowy mountains",
        "mountains on the horizon",
    ),
}

SECONDARY_WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "pine tree": (("pine tree", "pine trees"), ("pine", "pines"), ("fir", "firs")),
    "tree": (("tree", "trees"), ("leafy tree", "leafy trees"), ("round tree", "round trees")),
    "bush": (("bush", "bushes"), ("shrub", "shrubs"), ("hedge", "hedges")),
    "rock": (("rock", "rocks"), ("boulder", "boulders"), ("stone", "stones")),
    "fence": (("fence", "fences"), ("picket fence", "picket fences"), ("railing", "railings")),
    "crate": (("crate", "crates"), ("wooden box", "wooden boxes"), ("chest", "chests")),
    "lamp post": (
        ("lamp post", "lamp posts"),
        ("street lamp", "street lamps"),
        ("lantern", "lanterns"),
    ),
    "barrel": (("barrel", "barrels"), ("cask", "casks"), ("keg", "kegs")),
}
"""Singular and plural."""

BESIDE: tuple[str, ...] = (
    "with {things} beside it",
    "next to {things}",
    "and {things}",
    "with {things}",
    "beside {things}",
)

MOTION_WORDS: dict[str, tuple[str, ...]] = {
    "orbit_left": (
        "the camera orbits to the left",
        "the camera circles around it to the left",
        "camera orbiting left",
        "the view arcs left around it",
    ),
    "orbit_right": (
        "the camera orbits to the right",
        "the camera circles around it to the right",
        "camera orbiting right",
        "the view arcs right around it",
    ),
    "dolly_in": (
        "the camera moves in",
        "the camera dollies in",
        "camera moving closer",
        "the view pushes forward towards it",
    ),
    "dolly_out": (
        "the camera moves out",
        "the camera dollies out",
        "camera backing away",
        "the view pulls back from it",
    ),
    "truck_left": (
        "the camera slides to the left",
        "the camera trucks left",
        "camera tracking left",
        "the view glides sideways to the left",
    ),
    "truck_right": (
        "the camera slides to the right",
        "the camera trucks right",
        "camera tracking right",
        "the view glides sideways to the right",
    ),
    "crane_up": (
        "the camera rises",
        "the camera cranes up",
        "camera moving upward",
        "the view lifts up above it",
    ),
    "crane_down": (
        "the camera descends",
        "the camera cranes down",
        "camera moving downward",
        "the view sinks down towards the ground",
    ),
    "pan_left": (
        "the camera pans to the left",
        "the camera turns left",
        "camera panning left",
        "the view swings to the left",
    ),
    "pan_right": (
        "the camera pans to the right",
        "the camera turns right",
        "camera panning right",
        "the view swings to the right",
    ),
}

VERBS: dict[str, tuple[str, ...]] = {
    "hot air balloon": ("floats", "hovers", "hangs in the air"),
    "sailboat": ("lies", "rests", "is seen"),
    "horse": ("stands", "is seen", "waits"),
    "dog": ("stands", "is seen", "waits"),
    "cat": ("sits", "is seen", "waits"),
    "duck": ("sits", "is seen", "rests"),
    "car": ("is parked", "stands", "is seen"),
    "bus": ("is parked", "stands", "is seen"),
}
USUAL_VERBS: tuple[str, ...] = ("stands", "is seen", "rises", "can be seen")

# Words in braces are filled; an empty one vanishes with its comma.
TEMPLATES: tuple[str, ...] = (
    "{main} {ground} {time}, {secondary}, {weather}, {background}, {motion}",
    "{main} {ground} {time} {weather}, {background}, {secondary}, {motion}",
    "{main}, {secondary}, {ground}, {time}, {weather}, {background}, {motion}",
    "{main} {secondary} {ground}, {time}, {background}, {weather}. {motion}",
    "{time}, {main} {verb} {ground} {weather}, {secondary}, {background}. {motion}",
    "{ground}, {main} {verb} {time}, {weather}, {secondary}, {background}. {motion}",
    "{main} {verb} {ground} {weather} {time}, {secondary}, {background}, {motion}",
    "a view of {main} {ground} {weather}, {secondary}, {time}, {background}. {motion}",
    "a scene with {main} {secondary} {ground} {time}, {weather}, {background}. {motion}",
    "{motion}: {main} {ground}, {secondary}, {time}, {weather}, {background}",
    "{motion} as {main} {verb} {ground} {time}, {weather}, {secondary}, {background}",
    "{weather}, {time}, {main} {ground}, {secondary}, {background}, {motion}",
    "{main} {ground} {time}, {things}, {weather}, {background}, {motion}",
    "{main}, {things}, {time}, {ground}, {weather}, {background}, {motion}",
)

HELD_OUT_TEMPLATES: tuple[str, ...] = (
    "there is {main} {ground}, {secondary}, {background}; it is {time} {weather}; {motion}",
    "{time} {weather} we look at {main} {ground}, {secondary}, {background} while {motion}",
    "imagine {main} {weather} {ground} {time}, {background}, {secondary}; {motion}",
    "here, {ground} {time}, one finds {main}, {secondary}, {weather}, {background}; {motion}",
    "{secondary}, {main} {verb} {time} {ground}; {background}, {weather}; {motion}",
)
