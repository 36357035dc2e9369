#!/usr/bin/env python3
"""handmade.py - a small ZPL v5 writer of send streams, made from
spec zfs-stream.md alone.  Not a product: it is the witness that the facts in
the spec are enough, and it feeds selftest.  Plain Python, no ZFS code.

    handmade.py OUTDIR     writes base.zfs, incr.zfs and their listings
"""
import copy
import hashlib
import os
import struct
import sys

M64 = (1 << 64) - 1
(BEGIN, OBJECT, FREEOBJECTS, WRITE, FREE, END, SPILL) = (0, 1, 2, 3, 4, 5, 7)
OT_FILE, OT_DIR, OT_MASTER, OT_UNLINKED, OT_SA = 19, 20, 21, 22, 44
OT_SA_MASTER, OT_SA_REG, OT_SA_LAYOUTS = 45, 46, 47


# ---- fletcher-4 and the record stream -------------------------------------

class Stream:
    def __init__(self, path, toguid, fromguid, toname, flags, created):
        self.f = open(path, 'wb')
        self.a = self.b = self.c = self.d = 0
        self.toguid = toguid
        r = bytearray(312)
        struct.pack_into('<IIQQQIIQQ', r, 0, BEGIN, 0, 0x2F5bacbac,
                         1 | 0x4 << 2, created, 2, flags, toguid, fromguid)
        r[56:56 + len(toname)] = toname
        self._sum(r)
        self.f.write(r)

    def _sum(self, buf):
        a, b, c, d = self.a, self.b, self.c, self.d
        for (w,) in struct.iter_unpack('<I', buf):
            a += w
            b += a
            c += b
            d += c
        self.a, self.b, self.c, self.d = a & M64, b & M64, c & M64, d & M64

    def _ck(self):
        return struct.pack('<4Q', self.a, self.b, self.c, self.d)

    def rec(self, kind, fmt, *vals, payload=b''):
        r = bytearray(312)
        struct.pack_into('<II' + fmt, r, 0, kind, 0, *vals)
        self._sum(r[:280])
        r[280:] = self._ck()
        self._sum(r[280:])
        payload = bytes(payload) + bytes(-len(payload) % 8)
        self._sum(payload)
        self.f.write(r + payload)

    def object(self, num, o):
        # checksum, compression: 0 = inherit; 1 slot; no flags
        self.rec(OBJECT, 'QIIIIBBBBIQ', num, o.type, OT_SA if o.bonus else 0,
                 o.blksz, len(o.bonus), 0, 0, 1, 0, 0, self.toguid,
                 payload=o.bonus)

    def write(self, num, o, off, data):
        self.rec(WRITE, 'QIIQQQ', num, o.type, 0, off, len(data), self.toguid,
                 payload=data)

    def free(self, num, off, length):
        self.rec(FREE, 'QQQQ', num, off, length & M64, self.toguid)

    def freeobjects(self, first, n):
        self.rec(FREEOBJECTS, 'QQQ', first, n, self.toguid)

    def spill(self, num, data):
        self.rec(SPILL, 'QQQ', num, len(data), self.toguid, payload=data)

    def end(self):
        self.rec(END, '4QQ', self.a, self.b, self.c, self.d, self.toguid)
        self.f.close()


# ---- ZAP -------------------------------------------------------------------

def _table():
    out = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0xC96C5795D7870F42 if i & 1 else 0)
        out.append(i)
    return out


CRC = _table()


def zap_hash(salt, name):
    h = salt
    for c in name:
        h = h >> 8 ^ CRC[(h ^ c) & 255]
    return h >> 36 << 36


def with_cds(salt, names):
    """(name, hash, cd): names of one hash get 0, 1, 2 ..."""
    seen, out = {}, []
    for n in names:
        h = zap_hash(salt, n)
        out.append((n, h, seen.get(h, 0)))
        seen[h] = seen.get(h, 0) + 1
    return out


def zap(entries, salt):
    """entries: {name: int or [ints of 2 bytes]}.  -> block size, blocks."""
    small = all(isinstance(v, int) and len(n) <= 49
                for n, v in entries.items())
    if small and len(entries) <= 2047:
        blksz = max(512, -(-(len(entries) + 1) * 64 // 512) * 512)
        b = bytearray(blksz)
        struct.pack_into('<QQQ', b, 0, (1 << 63) + 3, salt, 0)
        for i, (n, _, cd) in enumerate(with_cds(salt, entries), 1):
            struct.pack_into('<QIH50s', b, 64 * i, entries[n], cd, 0, n)
        return blksz, {0: bytes(b)}
    return 16384, fatzap(entries, salt)


def fatzap(entries, salt, bs=16384):
    nhash, hbits = bs // 32, (bs // 32).bit_length() - 1
    nchunk = (bs - 2 * nhash) // 24 - 2
    todo = [(0, 0, [(n, h, cd, entries[n])
                    for n, h, cd in with_cds(salt, entries)])]
    leaves = []

    def chunks(e):
        n, v = e[0], e[3]
        vlen = 8 if isinstance(v, int) else 2 * len(v)
        return 1 + -(-(len(n) + 1) // 21) + -(-vlen // 21)

    while todo:
        prefix, plen, ents = todo.pop()
        if sum(map(chunks, ents)) <= nchunk - 20:
            leaves.append((prefix, plen, ents))
            continue
        halves = [[], []]
        for e in ents:
            halves[e[1] >> 63 - plen & 1].append(e)
        todo += [(prefix << 1 | 1, plen + 1, halves[1]),
                 (prefix << 1, plen + 1, halves[0])]
    shift = max([bs.bit_length() - 5] + [p for _, p, _ in leaves])
    external = shift > bs.bit_length() - 5      # table outgrew the header
    nblk = (8 << shift) // bs if external else 0
    table, blocks = [0] * (1 << shift), {}
    for i, (prefix, plen, ents) in enumerate(leaves):
        blkid = 1 + i
        lo = prefix << shift - plen
        for k in range(lo, lo + (1 << shift - plen)):
            table[k] = blkid
        b = bytearray(bs)
        hashes = [0xffff] * nhash
        base, used = 48 + 2 * nhash, 0

        def array(data):
            nonlocal used
            first = used
            for o in range(0, len(data), 21):
                last = o + 21 >= len(data)
                struct.pack_into('<B21sH', b, base + 24 * used, 251,
                                 data[o:o + 21],
                                 0xffff if last else used + 1)
                used += 1
            return first

        # each chain ascending by cd: put the highest in first
        for n, h, cd, v in sorted(ents, key=lambda e: -e[2]):
            me, used = used, used + 1
            slot = h >> 64 - hbits - plen & nhash - 1
            nc = array(n + b'\0')
            if isinstance(v, int):
                il, vn, vc = 8, 1, array(struct.pack('>Q', v))
            else:
                il, vn, vc = 2, len(v), array(struct.pack('>%dH' % len(v), *v))
            struct.pack_into('<BBHHHHHIQ', b, base + 24 * me, 252, il,
                             hashes[slot], nc, len(n) + 1, vc, vn, cd, h)
            hashes[slot] = me
        for k in range(used, nchunk):
            struct.pack_into('<B21xH', b, base + 24 * k, 253,
                             k + 1 if k + 1 < nchunk else 0xffff)
        struct.pack_into('<QQQIHHHHB', b, 0, 1 << 63, 0, prefix, 0x2AB1EAF,
                         nchunk - used, len(ents), plen,
                         used if used < nchunk else 0xffff, 0)
        struct.pack_into('<%dH' % nhash, b, 48, *hashes)
        blocks[blkid] = bytes(b)
    hdr = bytearray(bs)
    freeblk = 1 + len(leaves) + nblk
    struct.pack_into('<13Q', hdr, 0, (1 << 63) + 1, 0x2F52AB2AB,
                     1 + len(leaves) if external else 0, nblk, shift, 0, 0,
                     freeblk, len(leaves), len(entries), salt, 0, 0)
    raw = struct.pack('<%dQ' % len(table), *table)
    if external:
        for k in range(nblk):
            blocks[1 + len(leaves) + k] = raw[k * bs:(k + 1) * bs]
    else:
        hdr[bs // 2:] = raw
    blocks[0] = bytes(hdr)
    return blocks


# ---- system attributes -----------------------------------------------------

REGISTRY = [('ATIME', 16, 0), ('MTIME', 16, 0), ('CTIME', 16, 0),
            ('CRTIME', 16, 0), ('GEN', 8, 0), ('MODE', 8, 0), ('SIZE', 8, 0),
            ('PARENT', 8, 0), ('LINKS', 8, 0), ('XATTR', 8, 0),
            ('RDEV', 8, 0), ('FLAGS', 8, 0), ('UID', 8, 0), ('GID', 8, 0),
            ('PAD', 32, 0), ('ZNODE_ACL', 88, 3), ('DACL_COUNT', 8, 0),
            ('SYMLINK', 0, 3), ('SCANSTAMP', 32, 3), ('DACL_ACES', 0, 4),
            ('DXATTR', 0, 3)]
COMMON = [5, 6, 4, 12, 13, 7, 11, 0, 1, 2, 3, 8]
LAYOUTS = {2: COMMON + [16, 19], 3: COMMON + [16, 19, 17],
           4: COMMON + [10, 16, 19], 5: [17]}


def acl(mode, isdir):
    rwx, owner, group, every = [0x1, 0x6, 0x20], 0x1e0198, 0x120088, 0x120088
    if isdir:
        rwx[1] |= 0x40
    allow0 = deny1 = deny2 = 0
    for i, bit in enumerate(rwx):
        u, g, o = (mode >> s - i & 1 for s in (8, 5, 2))
        owner |= bit * u
        group |= bit * g
        every |= bit * o
        deny1 |= bit * (not u and (g or o))
        deny2 |= bit * (not g and o)
        allow0 |= bit * (u and not g and o)
    aces = [(0, 0x1000, allow0)] * bool(allow0) + \
        [(1, 0x1000, deny1)] * bool(deny1) + \
        [(1, 0x2040, deny2)] * bool(deny2) + \
        [(0, 0x1000, owner), (0, 0x2040, group), (0, 0x4000, every)]
    return len(aces), b''.join(struct.pack('<HHI', *x) for x in aces)


def sa_buffer(layout, varlens, body):
    hdr = 8 if len(varlens) < 2 else 8 + -(-(len(varlens) - 1) * 2 // 8) * 8
    h = bytearray(hdr)
    struct.pack_into('<IH', h, 0, 0x2F505A, hdr // 8 << 10 | layout)
    for i, n in enumerate(varlens):
        struct.pack_into('<H', h, 6 + 2 * i, n)
    return bytes(h) + body


class Obj:
    def __init__(self, kind, blksz=512, blocks=None):
        self.type, self.blksz, self.blocks = kind, blksz, blocks or {}
        self.bonus = self.spill = b''

    def same(self, o):
        return self.__dict__ == o.__dict__


# ---- a file system ---------------------------------------------------------

class FS:
    def __init__(self, now, gen):
        self.o, self.now, self.gen, self.next = {}, now, gen, 7
        self.tree = {}              # path -> (mode, uid, gid, data or names)
        self.num = {}               # path -> object number
        self.o[1] = Obj(OT_MASTER)
        self._zap(1, {b'utf8only': 0, b'normalization': 0,
                      b'casesensitivity': 0, b'VERSION': 5, b'SA_ATTRS': 2,
                      b'DELETE_QUEUE': 3, b'ROOT': 4})
        self.o[2], self.o[3] = Obj(OT_SA_MASTER), Obj(OT_UNLINKED)
        self._zap(2, {b'REGISTRY': 5, b'LAYOUTS': 6})
        self._zap(3, {})
        self.o[5], self.o[6] = Obj(OT_SA_REG), Obj(OT_SA_LAYOUTS)
        self._zap(5, {b'ZPL_' + n.encode(): ln << 24 | bs << 16 | i
                      for i, (n, ln, bs) in enumerate(REGISTRY)})
        self._zap(6, {str(k).encode(): v for k, v in LAYOUTS.items()})
        self.add('', 0o40755)

    def _zap(self, num, entries):
        o = self.o[num]
        o.blksz, o.blocks = zap(entries, num << 1 | 1)

    def add(self, path, mode, data=b'', uid=0, gid=0, rdev=0, link=None):
        fmt = mode >> 12
        if link is not None:
            num = self.num[link]
            self.tree[path] = self.tree[link]
        else:
            num = 4 if path == '' else self.next
            self.next += path != ''
            self.tree[path] = [mode, uid, gid, data, rdev, self.now, self.gen]
            self.o[num] = Obj(OT_DIR if fmt == 4 else OT_FILE)
        self.num[path] = num
        if fmt == 8 and link is None:
            o = self.o[num]
            o.blksz = 131072 if len(data) > 131072 else \
                max(512, -(-len(data) // 512) * 512)
            for i in range(0, len(data), o.blksz):
                blk = data[i:i + o.blksz]
                if blk.strip(b'\0'):
                    o.blocks[i // o.blksz] = blk + bytes(o.blksz - len(blk))

    def remove(self, path):
        num = self.num.pop(path)
        del self.tree[path]
        if num not in self.num.values():
            del self.o[num]

    def finish(self):
        """Directories and bonus buffers from the tree."""
        names = {p: {} for p, t in self.tree.items() if t[0] >> 12 == 4}
        links = {}
        for p, t in self.tree.items():
            if p:
                names[p.rpartition('/')[0]][os.path.basename(p).encode()] = \
                    self.num[p] | t[0] >> 12 << 60
                links[self.num[p]] = links.get(self.num[p], 0) + 1
        for p, (mode, uid, gid, data, rdev, now, gen) in self.tree.items():
            num, fmt = self.num[p], mode >> 12
            o, parent = self.o[num], self.num[p.rpartition('/')[0]] if p else 4
            size, n = len(data), links.get(num)
            if fmt == 4:
                self._zap(num, names[p])
                size = len(names[p]) + 2
                n = 2 + sum(v >> 60 == 4 for v in names[p].values())
            t = struct.pack('<QQ', now, 123456789)
            count, aces = acl(mode, fmt == 4)
            flags = 0x40800000004 | (0x40 if fmt == 4 else 0) | \
                (0x100 if mode & 0o111 == 0o111 else 0)
            body = struct.pack('<7Q', mode, size, gen, uid, gid, parent,
                               flags) + t * 4 + struct.pack('<Q', n)
            layout, var = 2, [len(aces)]
            if fmt in (2, 6):
                body += struct.pack('<Q', rdev)
                layout = 4
            body += struct.pack('<Q', count) + aces
            o.spill = b''
            if fmt == 10 and 16 + len(body) + size <= 320:
                layout, var, body = 3, var + [size], body + data
            elif fmt == 10:         # the target does not fit: spill block
                s = sa_buffer(5, [size], data)
                o.spill = s + bytes(-len(s) % 512)
                body += bytes(192 - 8 - len(body))
            o.bonus = sa_buffer(layout, var, body)

    def listing(self):
        out = []
        links = {}
        for p in self.tree:
            links[self.num[p]] = links.get(self.num[p], 0) + 1
        for p, (mode, uid, gid, data, rdev, now, _) in self.tree.items():
            fmt, num = mode >> 12, self.num[p]
            kids = [q for q in self.tree if q and q.rpartition('/')[0] == p] \
                if fmt == 4 else []
            size = len(kids) + 2 if fmt == 4 else len(data)
            n = links[num] if fmt != 4 else 2 + sum(
                self.tree[q][0] >> 12 == 4 for q in kids)
            s = '%s %04o %d:%d size=%d nlink=%d mtime=%d.123456789' % (
                '?pc?d?b?f?l?s'[fmt], mode & 0o7777, uid, gid, size, n,
                now)
            if fmt == 8:
                s += ' sha256=' + hashlib.sha256(data).hexdigest()
            if fmt in (2, 6):
                s += ' rdev=0x%x' % rdev
            s += ' .' + ('/' + p if p else '')
            if fmt == 10:
                s += ' -> ' + data.decode().replace(' ', '\\040')
            out.append((tuple(('./' + p).split('/')) if p else ('.',), s))
        return [s for _, s in sorted(out)]


def changes(s, num, old, new):
    """What turns object num of the base (None: free) into new."""
    s.object(num, new)
    last = max(new.blocks, default=0)
    s.free(num, (last + 1) * new.blksz, -1)
    kept = old is not None and old.blksz == new.blksz and \
        old.type == new.type
    for blk in range(last + 1):
        if blk in new.blocks:
            if not kept or old.blocks.get(blk) != new.blocks[blk]:
                s.write(num, new, blk * new.blksz, new.blocks[blk])
        elif not kept or blk in old.blocks:
            s.free(num, blk * new.blksz, new.blksz)
    if new.spill:
        s.spill(num, new.spill)


def send(path, new, guid, name, base=None, base_guid=0):
    s = Stream(path, guid, base_guid, name, 4 | (1 if base else 0), new.now)
    old = base.o if base else {}
    for num in range(1, max(list(old) + list(new.o)) + 1):
        if num in new.o:
            if num not in old or not new.o[num].same(old[num]):
                changes(s, num, old.get(num), new.o[num])
        elif num in old:
            s.freeobjects(num, 1)
    s.end()


def collision():
    """Two names of the same hash under the salt of object 7."""
    seen = {}
    for i in range(10 ** 6):
        n = hashlib.md5(b'%d' % i).hexdigest()[:12].encode()
        h = zap_hash(15, n)
        if h in seen:
            return seen[h].decode(), n.decode()
        seen[h] = n


def base_fs():
    fs = FS(1700000000, 10)
    fs.add('small', 0o40755)        # object 7: the collision's directory
    for n in collision():
        fs.add('small/' + n, 0o100644, n.encode())
    fs.add('etc', 0o40755)
    fs.add('etc/motd', 0o100644, b'hello\n')
    fs.add('etc/shadow', 0o100400, b'x', 0, 3)
    fs.add('etc/empty', 0o100644)
    fs.add('etc/motd.hard', 0o100644, link='etc/motd')
    fs.add('bin', 0o40755)
    fs.add('bin/prog', 0o100755, bytes(range(256)) * 1400)
    fs.add('bin/sparse', 0o100644, b'a' + bytes(400000) + b'z')
    fs.add('bin/short', 0o120777, b'prog')
    fs.add('bin/long', 0o120777, b'x' * 300)
    fs.add('bin/fits', 0o120777, b'y' * 144)
    fs.add('dev', 0o40755)
    fs.add('dev/null', 0o20666, rdev=13 << 32 | 2)
    fs.add('pipe', 0o10600, uid=7, gid=8)
    for m in (0, 0o7, 0o70, 0o707, 0o1777, 0o2755, 0o4511, 0o604, 0o446):
        fs.add('etc/mode%04o' % m, 0o100000 | m, b'm')
    fs.add('many', 0o40755)
    for i in range(2048):
        fs.add('many/f%d' % i, 0o100644)
    fs.finish()
    return fs


def incr_fs(base):
    fs = copy.deepcopy(base)
    fs.now, fs.gen = 1700001000, 20
    for p in ('etc/shadow', 'bin/short', 'many/f7', 'etc/motd.hard'):
        fs.remove(p)
    fs.tree['etc/motd'][3] = b'changed\n'
    fs.tree['etc/motd'][5] = fs.now
    fs.o[fs.num['etc/motd']].blocks[0] = b'changed\n' + bytes(504)
    fs.tree['bin/long'][3] = b'now short'
    fs.add('opt', 0o40755)
    fs.add('opt/a-name-that-is-longer-than-forty-nine-bytes-so-no-microzap',
           0o100644, b'long name')
    fs.add('opt/deep', 0o40700, uid=100)
    fs.add('opt/deep/blob', 0o100640, os.urandom(1 << 20))
    for i in range(12000):
        fs.add('many/new-%d' % i, 0o100644, b'')
    fs.finish()
    return fs


def main(out):
    os.makedirs(out, exist_ok=True)
    base = base_fs()
    send(out + '/base.zfs', base, 0xB0B, b'zones/base@final')
    new = incr_fs(base)
    send(out + '/incr.zfs', new, 0xCAFE, b'zones/new@final', base, 0xB0B)
    for fs, name in ((base, 'base'), (new, 'incr')):
        with open('%s/%s.listing' % (out, name), 'w') as f:
            f.write('\n'.join(fs.listing()) + '\n')


if __name__ == '__main__':
    main(sys.argv[1])
