"""The content of the site on its first day."""

KEEPER = {"username": "keeper", "password": "open-the-gate", "email": "keeper@example.org"}

GATES = [
    {
        "name": "Sungnyemun", "hangul": "숭례문", "slug": "sungnyemun", "meaning": "gate of exalted ceremonies",
        "side": "south", "is_great": True, "is_standing": True, "built": 1398,
        "story": "The main gate of the capital, through which envoys and harvests came in. Its name board is written upright, to "
                 "hold down the fire of the mountain across the river. In 2008 an arsonist burned the pavilion all the same; "
                 "carpenters raised it again by hand, and it opened in 2013.",
    },
    {
        "name": "Heunginjimun", "hangul": "흥인지문", "slug": "heunginjimun", "meaning": "gate of rising benevolence",
        "side": "east", "is_great": True, "is_standing": True, "built": 1398,
        "story": "The only one of the eight with a half-moon wall in front, because the land to the east lies low and open. The "
                 "pavilion that stands today was built in 1869. A market that never quite sleeps has grown around it.",
    },
    {
        "name": "Donuimun", "hangul": "돈의문", "slug": "donuimun", "meaning": "gate of abundant loyalty",
        "side": "west", "is_great": True, "is_standing": False, "built": 1396,
        "story": "Moved and rebuilt more than once, and so called the New Gate for five hundred years. In 1915 it was sold as "
                 "timber to make way for a tram. The quarter where it stood is still called Saemunan, inside the new gate.",
    },
    {
        "name": "Sukjeongmun", "hangul": "숙정문", "slug": "sukjeongmun", "meaning": "gate of solemn order",
        "side": "north", "is_great": True, "is_standing": True, "built": 1396,
        "story": "High on the mountain behind the palace, and mostly kept shut: a drought was the reason to open it. Hikers have "
                 "been allowed through again since 2006.",
    },
    {
        "name": "Hyehwamun", "hangul": "혜화문", "slug": "hyehwamun", "meaning": "gate of spreading grace",
        "side": "north-east", "is_great": False, "is_standing": True, "built": 1396,
        "story": "A phoenix is painted under its arch: birds were eating the fields outside, and somebody had to keep them away. "
                 "It was torn down in 1938 and rebuilt, a little to the north, in 1994.",
    },
    {
        "name": "Gwanghuimun", "hangul": "광희문", "slug": "gwanghuimun", "meaning": "gate of bright light",
        "side": "south-east", "is_great": False, "is_standing": True, "built": 1396,
        "story": "Funerals left the city here, and a stream left it beside them: it is also known as the Water Mouth Gate.",
    },
    {
        "name": "Changuimun", "hangul": "창의문", "slug": "changuimun", "meaning": "gate of showing what is right",
        "side": "north-west", "is_great": False, "is_standing": True, "built": 1396,
        "story": "The way to the cool valleys, and the oldest pavilion among the small gates, of 1741. In 1623 rebels came "
                 "through it at night and the next morning there was another king.",
    },
    {
        "name": "Souimun", "hangul": "소의문", "slug": "souimun", "meaning": "gate of shining righteousness",
        "side": "south-west", "is_great": False, "is_standing": False, "built": 1396,
        "story": "The Little West Gate, with a fish market outside. It was taken away in 1914 and left nothing but a stone with "
                 "its name beside a car park.",
    },
]

NOTES = [
    ("sungnyemun", "Minji", "Came by the night bus. It is smaller than in my memory and far more beautiful."),
    ("heunginjimun", "Olu", "Stood on the half-moon wall and watched the whole market wake up."),
    ("hyehwamun", "Jiho", "Found the phoenix. It looks at you wherever you stand."),
]
