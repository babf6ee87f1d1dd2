"""Two-dimensional f32 .npy files without NumPy, and the distance the goldens are judged by."""

import array
import ast
import math


def read_npy(path):
    """(rows, columns, values row by row)."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError(path + ": not a version 1 .npy file")
    length = int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10 : 10 + length].decode("latin1"))
    if header["descr"] != "<f4" or header["fortran_order"] or len(header["shape"]) != 2:
        raise ValueError(f"{path}: expected a C-order f32 matrix, got {header}")
    values = array.array("f")
    values.frombytes(data[10 + length :])
    rows, columns = header["shape"]
    if len(values) != rows * columns:
        raise ValueError(path + ": the data does not match the shape")
    return rows, columns, values


def relative_l2(values, reference):
    """|values - reference| / |reference| over all elements."""
    error = math.fsum((a - b) * (a - b) for a, b in zip(values, reference, strict=True))
    return math.sqrt(error / math.fsum(b * b for b in reference))
