"""Pairs of answers to one question, as a language model words them: the same, or not."""

from __future__ import annotations

SAME = (
    (
        "The late fee is one hundred rupees if you pay after the tenth.",
        "If you pay after the tenth, there's a late fee of 100 rupees.",
    ),
    (
        "We are open from nine in the morning to six in the evening, Monday to Saturday.",
        "You can reach us Monday to Saturday between 9 a.m. and 6 p.m.",
    ),
    (
        "A technician will visit within two days to install the router.",
        "Sure! Installation takes place within two days; a technician comes and sets up your router.",
    ),
    (
        "You can pay by card, by UPI or in cash at our office.",
        "We accept UPI, cards, and cash at the office.",
    ),
    (
        "To cancel, call us thirty days before your next bill.",
        "Please give us a call at least 30 days ahead of your next bill if you'd like to cancel.",
    ),
    (
        "Yes, you can keep your number when you move house.",
        "When you move, your number stays the same.",
    ),
    (
        "Switch the router off, wait ten seconds, and switch it on again.",
        "Try restarting your router: turn it off for ten seconds and turn it back on.",
    ),
    (
        "विलंब शुल्क सौ रुपये है।",
        "देर से भुगतान करने पर 100 रुपये विलंब शुल्क लगता है।",
    ),
)
CHANGED = (
    (
        "The late fee is one hundred rupees if you pay after the tenth.",
        "The late fee is one hundred and fifty rupees if you pay after the tenth.",
    ),
    (
        "We are open from nine in the morning to six in the evening, Monday to Saturday.",
        "I am sorry, I do not have that information.",
    ),
    (
        "You can pay by card, by UPI or in cash at our office.",
        "Your bill is due on the tenth of every month.",
    ),
    (
        "A technician will visit within 12 days to install the router.",
        "A technician will visit within 48 hours to install the router.",
    ),
    (
        "The late fee is one hundred rupees.",
        "You will find the late fee on your bill.",
    ),
    (
        "Switch the router off, wait ten seconds, and switch it on again.",
        "Please visit our nearest shop with your identity card.",
    ),
    (
        "विलंब शुल्क सौ रुपये है।",
        "विलंब शुल्क डेढ़ सौ रुपये है।",
    ),
    (
        "विलंब शुल्क सौ रुपये है।",
        "मुझे खेद है, मेरे पास यह जानकारी नहीं है।",
    ),
)
