"""What callers ask the sample agent, in their own words: (question, heading, words of the answer).

CALIBRATION set the score floor; HELD_OUT did not.
"""

from __future__ import annotations

CALIBRATION = [
    ("what time do you close", "When are you open?", "ten at night"),
    ("can I call on a sunday", "Are you open on Sundays and holidays?", "Sundays"),
    ("what does the home plan cost", "How much does the Home plan cost?", "four hundred"),
    (
        "tell me the price of the family plan",
        "How much does the Family plan cost?",
        "seven hundred",
    ),
    ("which plan is the least expensive", "What is your cheapest plan?", "Home plan"),
    ("how do I get my money back", "How do I get a refund?", "seven working days"),
    ("what happens if I pay late", "What is the late fee?", "one hundred rupees"),
    ("the light on the router is red", "Why is the red light on my router?", "no signal"),
    ("I forgot my wifi password", "What is my wifi password?", "under the router"),
    (
        "I am shifting to another flat",
        "I am moving to a new house. Can I keep my connection?",
        "new house",
    ),
    ("I want to stop the service for good", "How do I cancel my connection?", "thirty days"),
    ("which cities do you serve", "Which areas do you cover?", "Pune"),
    (
        "when will the engineer come to install it",
        "How long does installation take?",
        "three working days",
    ),
    ("my internet is very slow today", "Why is my internet slow?", "wifi signal"),
    ("there is no internet at my home", "My internet is not working. What can I do?", "restart"),
    ("can I pay by card", "How can I pay my bill?", "card"),
    ("do I get tv channels", "Do you offer television or movies?", "eighty channels"),
    ("can I talk to a human", "How do I speak to a person?", "person"),
    ("is the data unlimited", "Is there a limit on data?", "no data limit"),
    ("how do I upgrade to a faster plan", "How do I change my plan?", "once a month"),
]

HELD_OUT = [
    ("what are your opening hours", "When are you open?", "eight in the morning"),
    ("do you work on public holidays", "Are you open on Sundays and holidays?", "public holidays"),
    ("where can I visit you", "Where is your office?", "Station Road"),
    (
        "which number should I call for support",
        "What is the customer care number?",
        "one eight hundred",
    ),
    ("what is your email address", "How can I send you an email?", "help at sunrise"),
    ("what plans are there", "Which plans do you have?", "three plans"),
    ("how expensive is the office plan", "How much does the Office plan cost?", "one thousand"),
    ("what is your top speed", "What is the fastest speed you offer?", "three hundred megabits"),
    (
        "do I pay less if I pay for the whole year",
        "Is there a discount for a year?",
        "two months free",
    ),
    ("I would like to order a new connection", "How do I get a new connection?", "book"),
    (
        "what are the installation charges",
        "How much does installation cost?",
        "five hundred rupees",
    ),
    ("which papers do I have to show", "What documents do I need?", "identity card"),
    ("the router shows an orange light", "What does the orange light mean?", "updating"),
    ("how can I reboot the router", "How do I restart my router?", "thirty seconds"),
    ("how to put the router back to factory settings", "How do I reset my router?", "small button"),
    ("I want a new password for my wifi", "How do I change my wifi password?", "Sunrise app"),
    ("is the network down in my area", "Is there an outage in my area?", "outage"),
    ("may I use a router that I bought myself", "Can I use my own router?", "your own router"),
    ("do you have a static I P address", "How do I get a static address?", "two hundred rupees"),
    ("on which date do I have to pay the bill", "When is my bill due?", "tenth"),
    ("can you send me an old bill again", "How do I get a copy of my bill?", "twelve months"),
    (
        "do I have to pay a deposit for the router",
        "What is the security deposit?",
        "one thousand rupees",
    ),
    (
        "I am going away for two months, can I suspend the line",
        "Can I pause my connection?",
        "three months",
    ),
    ("I have a new mobile number", "How do I change my name or phone number?", "phone number"),
    ("can I pay in cash", "How can I pay my bill?", "Cash is taken"),
    (
        "how much does it cost to move the connection",
        "I am moving to a new house. Can I keep my connection?",
        "three hundred rupees",
    ),
    ("is there a penalty when I pay after the due date", "What is the late fee?", "late fee"),
    ("how many days until I receive my refund", "How do I get a refund?", "seven working days"),
]

OFF_CALIBRATION = [
    "what is the weather in delhi",
    "how do I cook rice",
    "who won the cricket match yesterday",
    "can you book a flight to london",
    "tell me a joke",
    "how tall is mount everest",
    "what is the capital of france",
    "do you sell shoes",
    "my car does not start",
    "I have a headache",
]

OFF_HELD_OUT = [
    "who is the prime minister",
    "how do I bake a chocolate cake",
    "when does the next train leave",
    "sing me a song please",
    "what is the price of gold",
    "is there a doctor near me",
    "how many planets are there",
    "can you recommend a good restaurant",
    "translate good morning into german",
    "what should I give my dog to eat",
]
