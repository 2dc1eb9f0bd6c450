"""Racing alternatives: two ways to find a factor of a number, and the first answer is taken.

    coflux run examples/racing_factors.py
    coflux run examples/racing_factors.py 1000003000000037000111

Which way is the quicker one depends on the number, and nobody knows before. `select` waits for the first that ends;
with `cancel_remaining=True` the other is killed there and then, in a computation that may take years.
"""

from __future__ import annotations

from math import gcd, isqrt

import coflux as cf

NUMBERS = [
    1000000000100000000002379,  # two large primes next to each other
    1000003000000037000111,  # a small one and a very large one
]


@cf.task()
def pollard_rho(number: int) -> int:
    """Quick if there is a small factor: takes about the square root of that many steps."""
    for constant in range(1, 100):
        slow = fast = 2
        factor = 1
        while factor == 1:
            slow = (slow * slow + constant) % number
            fast = (fast * fast + constant) % number
            fast = (fast * fast + constant) % number
            factor = gcd(slow - fast, number)
        if factor != number:
            return factor
    return number


@cf.task()
def fermat(number: int) -> int:
    """Quick if two factors are close to each other. For an odd number."""
    middle = isqrt(number - 1) + 1
    while isqrt(middle**2 - number) ** 2 != middle**2 - number:
        middle += 1
    return middle - isqrt(middle**2 - number)


@cf.task()
def factorise(number: int) -> dict[str, object]:
    if number % 2 == 0:
        return {"number": number, "factors": [2, number // 2], "by": "looking at it"}
    ways = [way.submit(number) for way in (pollard_rho, fermat)]
    winner, _ = cf.select(ways, cancel_remaining=True)
    factor = winner.result()
    return {"number": number, "factors": sorted([factor, number // factor]), "by": winner.target}


@cf.workflow()
def racing_factors(*numbers: int) -> list[dict[str, object]]:
    return [factorise(number) for number in numbers or NUMBERS]
