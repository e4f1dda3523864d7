"""Tests of tolerance. In an unpacked source archive, which has no links, the first thing that they do is make them."""

from tolerance.checkout import make_missing_links

make_missing_links()
