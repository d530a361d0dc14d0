"""Callers who go on asking: dialogues on the sample knowledge, and the same rule in Hindi.

A dialogue is its turns, each with the heading of the passage that answers it; the last turn is the one
that counts. A turn that several passages answer has their headings joined by "|".
"""

from __future__ import annotations

OPEN = "When are you open?"
SUNDAYS = "Are you open on Sundays and holidays?"
OFFICE = "Where is your office?"
NUMBER = "What is the customer care number?"
EMAIL = "How can I send you an email?"
PERSON = "How do I speak to a person?"
PLANS = "Which plans do you have?"
HOME_PLAN = "How much does the Home plan cost?"
FAMILY_PLAN = "How much does the Family plan cost?"
OFFICE_PLAN = "How much does the Office plan cost?"
CHEAPEST = "What is your cheapest plan?"
FASTEST = "What is the fastest speed you offer?"
LIMIT = "Is there a limit on data?"
CHANGE_PLAN = "How do I change my plan?"
DISCOUNT = "Is there a discount for a year?"
TV = "Do you offer television or movies?"
CONNECTION = "How do I get a new connection?"
INSTALL_TIME = "How long does installation take?"
INSTALL_COST = "How much does installation cost?"
AREAS = "Which areas do you cover?"
DOCUMENTS = "What documents do I need?"
RED = "Why is the red light on my router?"
ORANGE = "What does the orange light mean?"
RESTART = "How do I restart my router?"
RESET = "How do I reset my router?"
PASSWORD = "What is my wifi password?"
NEW_PASSWORD = "How do I change my wifi password?"
SLOW = "Why is my internet slow?"
DEAD = "My internet is not working. What can I do?"
OUTAGE = "Is there an outage in my area?"
OWN_ROUTER = "Can I use my own router?"
STATIC = "How do I get a static address?"
PAY = "How can I pay my bill?"
DUE = "When is my bill due?"
LATE = "What is the late fee?"
COPY = "How do I get a copy of my bill?"
REFUND = "How do I get a refund?"
DEPOSIT = "What is the security deposit?"
MOVE = "I am moving to a new house. Can I keep my connection?"
CANCEL = "How do I cancel my connection?"
PAUSE = "Can I pause my connection?"
NAME = "How do I change my name or phone number?"

Turns = tuple[tuple[str, str], ...]

DIALOGUES: list[Turns] = [
    (("how much does the home plan cost", HOME_PLAN), ("and the family plan?", FAMILY_PLAN)),
    (("how much is the home plan", HOME_PLAN), ("what about the office one", OFFICE_PLAN)),
    (("what does the office plan cost", OFFICE_PLAN), ("and the home plan", HOME_PLAN)),
    (("how long does installation take", INSTALL_TIME), ("and how much is it?", INSTALL_COST)),
    (("when do you install it after I order", INSTALL_TIME), ("what does that cost", INSTALL_COST)),
    (("how much is the installation", INSTALL_COST), ("and how long does it take", INSTALL_TIME)),
    (("why is there a red light on my router", RED), ("and what if it is orange", ORANGE)),
    (("what does the orange light mean", ORANGE), ("and the red one?", RED)),
    (("when are you open", OPEN), ("what about Sundays", SUNDAYS)),
    (("when are you open", OPEN), ("is that also on weekends", SUNDAYS)),
    (("what are your opening hours", OPEN), ("and on public holidays?", SUNDAYS)),
    (("how do I restart my router", RESTART), ("and how do I reset it", RESET)),
    (("how do I reset my router", RESET), ("what if I only want to restart it", RESTART)),
    (("how can I pay my bill", PAY), ("when is it due", DUE)),
    (("when is my bill due", DUE), ("what happens if I am late with it", LATE)),
    (("how do I get a copy of my bill", COPY), ("and when do I have to pay it", DUE)),
    (("when is my bill due", DUE), ("can you send me a copy of it", COPY)),
    (("what is my wifi password", PASSWORD), ("how do I change it", NEW_PASSWORD)),
    (
        ("I want to change my wifi password", NEW_PASSWORD),
        ("where do I find the old one", PASSWORD),
    ),
    (
        ("I want a new connection", CONNECTION),
        ("and what papers do I need for that", f"{DOCUMENTS}|{CONNECTION}"),
    ),
    (("which plans do you have", PLANS), ("which one is the cheapest", CHEAPEST)),
    (("which plans do you have", PLANS), ("which is the fastest", FASTEST)),
    (("which plans do you have", PLANS), ("tell me about the second one", FAMILY_PLAN)),
    (("which plans do you have", PLANS), ("how much is the first one", HOME_PLAN)),
    (("what plans are there", PLANS), ("the last one please", OFFICE_PLAN)),
    (("what is your cheapest plan", CHEAPEST), ("and the fastest?", FASTEST)),
    (
        ("how do I get a static address", STATIC),
        ("is it included in any plan", f"{STATIC}|{OFFICE_PLAN}"),
    ),
    (("do you have a static address", STATIC), ("how much is it", STATIC)),
    (("how do I cancel my connection", CANCEL), ("can I pause it instead", PAUSE)),
    (("can I pause my connection", PAUSE), ("how much is that", PAUSE)),
    (("can I pause my connection", PAUSE), ("for how long?", PAUSE)),
    (("I am moving to a new house", MOVE), ("what does it cost", MOVE)),
    (("can I take my connection to my new flat", MOVE), ("is that free", MOVE)),
    (("can I use my own router", OWN_ROUTER), ("will you help me with its settings", OWN_ROUTER)),
    (("how do I get a refund", REFUND), ("how long does that take", REFUND)),
    (("what is the security deposit", DEPOSIT), ("when do I get it back", DEPOSIT)),
    (("what is the late fee", LATE), ("and after twenty days?", LATE)),
    (("is there an outage in my area", OUTAGE), ("how long will it last", OUTAGE)),
    (("my internet is not working", DEAD), ("and if that does not help", DEAD)),
    (("which areas do you cover", AREAS), ("and Nagpur?", AREAS)),
    (("do you serve Pune", AREAS), ("what about Mumbai", AREAS)),
    (("is there a discount for a year", DISCOUNT), ("how much is it", DISCOUNT)),
    (("do you offer television", TV), ("is it on the home plan too", TV)),
    (("do you have tv channels", TV), ("how many of them", TV)),
    (("where is your office", OFFICE), ("do I need an appointment for that", OFFICE)),
    (("where is your office", OFFICE), ("is it open on sundays", SUNDAYS)),
    (("what is the customer care number", NUMBER), ("is it free", NUMBER)),
    (("can I send you an email", EMAIL), ("how soon do you answer it", EMAIL)),
    (("can I speak to a person", PERSON), ("until when?", PERSON)),
    (("how do I change my plan", CHANGE_PLAN), ("is that free", CHANGE_PLAN)),
    (("how do I change my plan", CHANGE_PLAN), ("how often can I do that", CHANGE_PLAN)),
    (("is there a data limit", LIMIT), ("is that so on all of them", LIMIT)),
    (("what documents do I need", DOCUMENTS), ("and a passport?", DOCUMENTS)),
    (("how do I change my phone number", NAME), ("and my name?", NAME)),
    (("how much does installation cost", INSTALL_COST), ("is it ever free", INSTALL_COST)),
    (("can I pay by card", PAY), ("or in cash?", PAY)),
    (("I want my money back", REFUND), ("how many days does it take", REFUND)),
    # three turns
    (
        ("how much is the home plan", HOME_PLAN),
        ("and the family plan?", FAMILY_PLAN),
        ("and the office plan?", OFFICE_PLAN),
    ),
    (
        ("how long does installation take", INSTALL_TIME),
        ("how much does it cost", INSTALL_COST),
        ("can I get it for free", INSTALL_COST),
    ),
    (
        ("I am moving to a new flat", MOVE),
        ("what does it cost", MOVE),
        ("how early must I tell you about it", MOVE),
    ),
    (
        ("why is the light on my router red", RED),
        ("and if it is orange?", ORANGE),
        ("how do I restart it", RESTART),
    ),
    (("how can I pay my bill", PAY), ("when is it due", DUE), ("and if I pay it late?", LATE)),
    (("when are you open", OPEN), ("on sundays too?", SUNDAYS), ("and on holidays?", SUNDAYS)),
    (
        ("which plans do you have", PLANS),
        ("how much is the last one", OFFICE_PLAN),
        ("and how fast is it", f"{OFFICE_PLAN}|{FASTEST}"),
    ),
    (
        ("how do I cancel my connection", CANCEL),
        ("can I pause it instead", PAUSE),
        ("how much is that", PAUSE),
    ),
    (
        ("how do I get a refund", REFUND),
        ("how long does it take", REFUND),
        ("okay and where is your office", OFFICE),
    ),
    (
        ("what does the home plan cost", HOME_PLAN),
        ("and how fast is it", HOME_PLAN),
        ("what about the office plan", OFFICE_PLAN),
    ),
    (
        ("what is my wifi password", PASSWORD),
        ("how do I change it", NEW_PASSWORD),
        ("and my phone number", NAME),
    ),
    (
        ("what does the family plan cost", FAMILY_PLAN),
        ("does it have television", TV),
        ("how many channels are there", TV),
    ),
    (("is there a late fee", LATE), ("how much is it", LATE), ("then how can I pay my bill", PAY)),
]

OFFERS: list[tuple[str, str, str, str]] = [
    ("my bill is high", "Shall I tell you how you can pay your bill?", "yes please", PAY),
    ("I may leave", "You can cancel. Or would you like to pause your connection?", "yes", PAUSE),
    ("hello", "Good morning. Do you want to hear about the Family plan?", "okay sure", FAMILY_PLAN),
    ("my wifi is gone", "Do you want to know how to restart your router?", "yes go ahead", RESTART),
    ("I want to move", "Would you like to know what documents you need?", "yeah", DOCUMENTS),
]
"""(said, heard, said, the heading that answers it): the agent offers, the caller takes it."""

HINDI: list[tuple[tuple[tuple[str, str], ...], str, tuple[str, ...], tuple[str, ...]]] = [
    ((("गोल्ड प्लान में क्या मिलता है", ""),), "और उसका दाम?", ("गोल्ड", "प्लान", "दाम"), ()),
    ((("गोल्ड प्लान में क्या मिलता है", ""),), "वह कितने का है", ("गोल्ड", "प्लान"), ()),
    ((("नया कनेक्शन कैसे लें", ""),), "उसके लिए कौन से कागज चाहिए", ("कनेक्शन", "कागज"), ()),
    ((("इंस्टॉलेशन में कितना समय लगता है", ""),), "और कितना पैसा लगेगा", ("इंस्टॉलेशन",), ()),
    ((("आपका दफ्तर कब खुलता है", ""),), "और रविवार को?", ("दफ्तर", "रविवार"), ()),
    ((("आपका दफ्तर कब खुलता है", ""),), "रविवार को भी?", ("दफ्तर", "रविवार"), ()),
    ((("आपका दफ्तर कहाँ है", ""),), "वहाँ कैसे पहुँचें", ("दफ्तर",), ()),
    ((("होम प्लान कितने का है", ""),), "और फैमिली प्लान?", ("फैमिली", "प्लान", "कितने"), ("होम",)),
    ((("होम प्लान कितने का है", ""),), "ऑफिस प्लान के बारे में?", ("ऑफिस", "कितने"), ("होम",)),
    ((("मेरा बिल कब भरना है", ""),), "उसे कैसे भरूँ", ("बिल",), ()),
    ((("वाईफाई का पासवर्ड क्या है", ""),), "इसे कैसे बदलें", ("पासवर्ड", "वाईफाई"), ()),
    ((("कनेक्शन कैसे बंद करें", ""),), "क्या इसमें पैसे लगते हैं", ("कनेक्शन",), ()),
    ((("रिफंड कैसे मिलेगा", ""),), "कितने दिन में?", ("रिफंड", "दिन"), ()),
    ((("रिफंड कैसे मिलेगा", ""),), "कब तक?", ("रिफंड",), ()),
    ((("राउटर की लाल बत्ती क्यों जल रही है", ""),), "और नारंगी?", ("बत्ती", "नारंगी"), ()),
    (
        (("आपके पास कौन से प्लान हैं", "हमारे तीन प्लान हैं, होम, फैमिली और ऑफिस।"),),
        "दूसरा वाला कितने का है",
        ("फैमिली",),
        ("ऑफिस",),
    ),
    (
        (("बिल बहुत ज्यादा है", "क्या मैं बताऊँ कि बिल कैसे भरें?"),),
        "जी हाँ बताइए",
        ("बिल", "भरें"),
        (),
    ),
    (
        (("गोल्ड प्लान में क्या मिलता है", ""), ("उसका दाम क्या है", "")),
        "और उसकी स्पीड?",
        ("गोल्ड", "प्लान", "स्पीड"),
        ("दाम",),
    ),
    (
        (("होम प्लान कितने का है", ""), ("और फैमिली प्लान?", "")),
        "और ऑफिस प्लान?",
        ("ऑफिस", "कितने"),
        ("होम", "फैमिली"),
    ),
    ((("रिफंड कैसे मिलेगा", ""),), "आपका दफ्तर कहाँ है", ("दफ्तर",), ("रिफंड",)),
    ((("रिफंड कैसे मिलेगा", ""),), "नया कनेक्शन कैसे लगवाएँ", ("कनेक्शन",), ("रिफंड",)),
    ((("रिफंड कैसे मिलेगा", ""),), "मेरा राउटर खराब है उसको कैसे बदलें", ("राउटर",), ("रिफंड",)),
    ((("रिफंड कैसे मिलेगा", ""),), "नमस्ते आप कौन हैं", ("नमस्ते",), ("रिफंड",)),
]
"""(earlier turns, said, words that the rewritten question must hold, words that it must not)."""

UNSEEN: list[Turns] = [
    (
        ("how fast is the family plan", FAMILY_PLAN),
        ("how much would that be per month", FAMILY_PLAN),
    ),
    (("what do I pay for the family plan", FAMILY_PLAN), ("and for the home plan?", HOME_PLAN)),
    (("do you have an office in Pune", OFFICE), ("when is it open", OPEN)),
    (("do you cover Nashik", AREAS), ("or Nagpur maybe", AREAS)),
    (("how do I put my line on hold for some weeks", PAUSE), ("does that cost anything", PAUSE)),
    (("I forgot the password of my wifi", PASSWORD), ("can I make a new one", NEW_PASSWORD)),
    (("how do I return the router when I leave", CANCEL), ("do I get my deposit for it", DEPOSIT)),
    (("is there a penalty for paying late", LATE), ("how high is it", LATE)),
    (("can you send me my bill again", COPY), ("by email?", COPY)),
    (("the light on my router is orange", ORANGE), ("how long does that take", ORANGE)),
    (("what are your plans", PLANS), ("do all of them have unlimited data", f"{LIMIT}|{PLANS}")),
    (("I would like your fastest plan", FASTEST), ("what does it cost", OFFICE_PLAN)),
    (("can I get tv", TV), ("what about movies", TV)),
    (("can I bring my own router", OWN_ROUTER), ("and will you set it up for me", OWN_ROUTER)),
    (("how quickly do you repair an outage", OUTAGE), ("will I be told about it", OUTAGE)),
    (("I paid too much, I want a refund", REFUND), ("when will it come", REFUND)),
    (("what is your phone number", NUMBER), ("and the email address?", EMAIL)),
    (("which identity card do you want", DOCUMENTS), ("is a passport okay too", DOCUMENTS)),
    (
        ("how much is the family plan", FAMILY_PLAN),
        ("does it include tv", TV),
        ("and the home plan?", TV),
    ),
    (
        ("when do I have to pay my bill", DUE),
        ("how can I pay it", PAY),
        ("and if I am late?", LATE),
    ),
]
"""Written after the rules and measured once; the rules were not changed for them."""
