#!/usr/bin/env python3
"""Reads a btree with a real Berkeley DB 1.85 library (Debian's libdb1-compat),
looks every key up, and then inserts and deletes: db185.py LIBRARY FILE."""
import ctypes
import shutil
import sys


class DBT(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("size", ctypes.c_size_t)]


class DB(ctypes.Structure):
    pass


PDB, PDBT = ctypes.POINTER(DB), ctypes.POINTER(DBT)
DB._fields_ = [
    ("type", ctypes.c_int),
    ("close", ctypes.CFUNCTYPE(ctypes.c_int, PDB)),
    ("delete", ctypes.CFUNCTYPE(ctypes.c_int, PDB, PDBT, ctypes.c_uint)),
    ("get", ctypes.CFUNCTYPE(ctypes.c_int, PDB, PDBT, PDBT, ctypes.c_uint)),
    ("put", ctypes.CFUNCTYPE(ctypes.c_int, PDB, PDBT, PDBT, ctypes.c_uint)),
    ("seq", ctypes.CFUNCTYPE(ctypes.c_int, PDB, PDBT, PDBT, ctypes.c_uint)),
    ("sync", ctypes.CFUNCTYPE(ctypes.c_int, PDB, ctypes.c_uint)),
]
R_FIRST, R_NEXT, R_NOOVERWRITE, DB_BTREE, O_RDWR = 3, 7, 8, 0, 2

lib = ctypes.CDLL(sys.argv[1])
lib.dbopen.restype = PDB
lib.dbopen.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p]


def thing(b):
    t = DBT()
    t.buf = ctypes.create_string_buffer(b, len(b))
    t.data, t.size = ctypes.cast(t.buf, ctypes.c_void_p), len(b)
    return t


def text(t):
    return ctypes.string_at(t.data, t.size)


def opened(path):
    db = lib.dbopen(path.encode(), O_RDWR, 0o644, DB_BTREE, None)
    if not db:
        sys.exit("dbopen refuses the file")
    return db


def dump(db):
    out, k, v, how = [], DBT(), DBT(), R_FIRST
    while db.contents.seq(db, k, v, how) == 0:
        out.append((text(k), text(v)))
        how = R_NEXT
    return out


db = opened(sys.argv[2])
pairs = dump(db)
for key, value in pairs:
    k, v = thing(key), DBT()
    if db.contents.get(db, k, v, 0) != 0 or text(v) != value:
        sys.exit("lookup of %r fails" % key)
db.contents.close(db)

copy = sys.argv[2] + ".copy"
shutil.copy(sys.argv[2], copy)
db, left = opened(copy), dict(pairs)
for i, (key, value) in enumerate(pairs):
    if i % 3 == 0:
        if db.contents.delete(db, thing(key), 0) != 0:
            sys.exit("deletion of %r fails" % key)
        del left[key]
    new = key[:-1] + b".new\0"
    if db.contents.put(db, thing(new), thing(value), R_NOOVERWRITE) != 0:
        sys.exit("insertion of %r fails" % new)
    left[new] = value
db.contents.close(db)
db = opened(copy)
if dump(db) != sorted(left.items()):
    sys.exit("the file is not what it should be after insertions and deletions")
db.contents.close(db)

for key, value in pairs:
    sys.stdout.buffer.write(key[:-1] + b"\t" + value[:-1] + b"\n")
