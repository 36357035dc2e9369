#!/usr/bin/env python3
"""Changes a btree with a real Berkeley DB 1.85 library (Debian's libdb1-compat):
db185ops.py LIBRARY FILE reads lines "+KEY<TAB>VALUE" (enter unless there),
"-KEY" (delete) and "close" (close and open again)."""
import ctypes
import os
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
]
R_NOOVERWRITE, DB_BTREE = 8, 0

lib = ctypes.CDLL(sys.argv[1])
lib.dbopen.restype = PDB
lib.dbopen.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p]


def thing(b):
    t = DBT()
    t.buf = ctypes.create_string_buffer(b, len(b))
    t.data, t.size = ctypes.cast(t.buf, ctypes.c_void_p), len(b)
    return t


def opened():
    db = lib.dbopen(sys.argv[2].encode(), os.O_RDWR | os.O_CREAT, 0o644, DB_BTREE, None)
    if not db:
        sys.exit("dbopen refuses the file")
    return db


db = opened()
for line in sys.stdin.buffer.read().splitlines():
    if line == b"close":
        db.contents.close(db)
        db = opened()
    elif line[:1] == b"+":
        key, value = line[1:].split(b"\t")
        if db.contents.put(db, thing(key + b"\0"), thing(value + b"\0"), R_NOOVERWRITE) < 0:
            sys.exit("insertion of %r fails" % key)
    elif db.contents.delete(db, thing(line[1:] + b"\0"), 0) < 0:
        sys.exit("deletion of %r fails" % line)
db.contents.close(db)
