"""Tasks that call themselves: merge sort, where each half is sorted by a task of its own.

    coflux run examples/divide_and_conquer.py --size 100000
    coflux run --concurrency 1 examples/divide_and_conquer.py

A task that waits for another holds no slot, so nested calls finish at any depth, even where only one task may run at a
time. The left half is submitted and sorts in another process, while this one goes on with the right half.
"""

from __future__ import annotations

import random
from heapq import merge

import coflux as cf


@cf.task
def merge_sort(numbers: list[int], leaf_size: int) -> list[int]:
    if len(numbers) <= leaf_size:
        return sorted(numbers)
    middle = len(numbers) // 2
    left = merge_sort.submit(numbers[:middle], leaf_size)
    right = merge_sort(numbers[middle:], leaf_size)
    return list(merge(left.result(), right))


@cf.workflow
def divide_and_conquer(size: int = 20_000, leaf_size: int = 2_500, seed: int = 1) -> dict[str, object]:
    numbers = random.Random(seed).sample(range(10 * size), size)
    ordered = merge_sort(numbers, leaf_size)
    return {"size": len(ordered), "smallest": ordered[0], "largest": ordered[-1], "correct": ordered == sorted(numbers)}
