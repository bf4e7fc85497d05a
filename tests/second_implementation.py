#!/usr/bin/env python3
"""A second implementation of docs/envelope.md, so that the document and not the Rust code is the specification.

Python 3.9 or later, standard library only. AES-256-GCM is written after FIPS 197 and NIST SP 800-38D, ChaCha20-Poly1305 after
RFC 8439, HKDF-Expand after RFC 5869. It is slow and not constant in time: it is for tests and for opening a record in an emergency, never for a server.

    second_implementation.py self-test    published vectors, then the golden vector and everything that must not open
    second_implementation.py open         {dek, tenant, table, column, row, contact, sealed} -> {content} or {error}
    second_implementation.py seal         {dek, dek_id, salt, suite, tenant, table, column, row, contact, content} -> {sealed}
    second_implementation.py hash         {key, parts, length} -> {hash}
    second_implementation.py unwrap       {key, level, tenant, id, name, wrapped} -> {content} or {error}
    second_implementation.py cell         {places, installation, epoch} -> {cells}: every one that the shares give
    second_implementation.py root         {share, cell, installation, epoch} -> {content}

All but the first read JSON objects from standard input, one a line, and answer each with one line. Bytes are hex, ids are UUIDs.
"""

import hashlib
import hmac
import json
import pathlib
import sys
import uuid

# ---- AES-256 (FIPS 197), forward cipher alone: GCM needs no other --------------------------------------------------------


def double(byte):
    """Multiplication by x in GF(2^8), modulo x^8 + x^4 + x^3 + x + 1 (section 4.2)."""
    return (byte << 1) ^ (0x11B if byte & 0x80 else 0)


def substitution():
    """The S-box (section 5.1.1): the inverse in the field, then an affine map. 3 generates the field."""
    powers, value = [], 1
    for _ in range(255):
        powers.append(value)
        value ^= double(value)
    inverse = {power: powers[-at % 255] for at, power in enumerate(powers)}
    box = []
    for byte in range(256):
        turned = inverse.get(byte, 0)
        result = 0x63
        for _ in range(5):
            result ^= turned
            turned = (turned << 1 | turned >> 7) & 0xFF
        box.append(result)
    return box


SBOX = substitution()
# SubBytes and MixColumns of one byte in the first row of a column; the other rows are rotations of it.
MIXED = [double(s) << 24 | s << 16 | s << 8 | (double(s) ^ s) for s in SBOX]
ROWS = [[(word >> turn | word << (32 - turn)) & 0xFFFFFFFF for word in MIXED] for turn in (0, 8, 16, 24)]
ROUNDS = 14


def substitute_word(word):
    return int.from_bytes(bytes(SBOX[byte] for byte in word.to_bytes(4, "big")), "big")


def expand_key(key):
    """Key expansion (section 5.2) for 256-bit keys: 60 words."""
    words = [int.from_bytes(key[at : at + 4], "big") for at in range(0, 32, 4)]
    constant = 1
    for at in range(8, 4 * (ROUNDS + 1)):
        word = words[-1]
        if at % 8 == 0:
            word = substitute_word((word << 8 | word >> 24) & 0xFFFFFFFF) ^ constant << 24
            constant = double(constant)
        elif at % 8 == 4:
            word = substitute_word(word)
        words.append(words[at - 8] ^ word)
    return words


def encrypt_block(words, block):
    """One block (section 5.1), column by column."""
    state = [int.from_bytes(block[4 * at : 4 * at + 4], "big") ^ words[at] for at in range(4)]
    for number in range(1, ROUNDS):
        state = [
            ROWS[0][state[at] >> 24]
            ^ ROWS[1][state[(at + 1) % 4] >> 16 & 0xFF]
            ^ ROWS[2][state[(at + 2) % 4] >> 8 & 0xFF]
            ^ ROWS[3][state[(at + 3) % 4] & 0xFF]
            ^ words[4 * number + at]
            for at in range(4)
        ]
    out = bytearray()
    for at in range(4):
        column = (SBOX[state[(at + row) % 4] >> (24 - 8 * row) & 0xFF] for row in range(4))
        out += (int.from_bytes(bytes(column), "big") ^ words[4 * ROUNDS + at]).to_bytes(4, "big")
    return bytes(out)


# ---- GCM (NIST SP 800-38D) with 96-bit nonces and 128-bit tags -------------------------------------------------------------


def multiply(x, y):
    """Product in GF(2^128) (section 6.3); the leftmost bit is the coefficient of x^0."""
    product = 0
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            product ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return product


def ghash(key, aad, ciphertext):
    """Section 6.4 over both texts, each padded to whole blocks, and their lengths in bits."""
    pad = lambda data: data + bytes(-len(data) % 16)
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    blocks, value = pad(aad) + pad(ciphertext) + lengths, 0
    for at in range(0, len(blocks), 16):
        value = multiply(value ^ int.from_bytes(blocks[at : at + 16], "big"), key)
    return value.to_bytes(16, "big")


class Aead:
    """A stream and a tag over what it gave, behind each other."""

    def encrypt(self, nonce, aad, plaintext):
        ciphertext = self.stream(nonce, plaintext)
        return ciphertext + self.tag(nonce, aad, ciphertext)

    def decrypt(self, nonce, aad, data):
        """The plaintext, or None when the tag is wrong."""
        if len(data) < 16:
            return None
        ciphertext, tag = data[:-16], data[-16:]
        if not hmac.compare_digest(tag, self.tag(nonce, aad, ciphertext)):
            return None
        return self.stream(nonce, ciphertext)


class Gcm(Aead):
    def __init__(self, key):
        self.words = expand_key(key)
        self.hash_key = int.from_bytes(encrypt_block(self.words, bytes(16)), "big")

    def stream(self, nonce, data, first=2):
        """Counter mode (section 6.5), counting from `first`: block 1 is for the tag."""
        out = bytearray()
        for number, at in enumerate(range(0, len(data), 16)):
            pad = encrypt_block(self.words, nonce + (first + number).to_bytes(4, "big"))
            out += bytes(a ^ b for a, b in zip(data[at : at + 16], pad))
        return bytes(out)

    def tag(self, nonce, aad, ciphertext):
        return self.stream(nonce, ghash(self.hash_key, aad, ciphertext), first=1)


# ---- ChaCha20-Poly1305 (RFC 8439) ------------------------------------------------------------------------------------------


def quarter(state, a, b, c, d):
    """The quarter round (section 2.1)."""
    for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[x] = (state[x] + state[y]) & 0xFFFFFFFF
        word = state[z] ^ state[x]
        state[z] = (word << turn | word >> (32 - turn)) & 0xFFFFFFFF


def chacha_block(key, number, nonce):
    """The block function (section 2.3)."""
    little = lambda data: [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    start = little(b"expand 32-byte k") + little(key) + [number] + little(nonce)
    state = list(start)
    for _ in range(10):
        for column in range(4):
            quarter(state, column, 4 + column, 8 + column, 12 + column)
        for diagonal in range(4):
            quarter(state, diagonal, 4 + (diagonal + 1) % 4, 8 + (diagonal + 2) % 4, 12 + (diagonal + 3) % 4)
    return b"".join((word + first & 0xFFFFFFFF).to_bytes(4, "little") for word, first in zip(state, start))


def poly1305(key, message):
    """Section 2.5."""
    r, s = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF, int.from_bytes(key[16:], "little")
    value = 0
    for at in range(0, len(message), 16):
        value = (value + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % ((1 << 130) - 5)
    return (value + s & (1 << 128) - 1).to_bytes(16, "little")


class ChaCha(Aead):
    def __init__(self, key):
        self.key = key

    def stream(self, nonce, data):
        """Section 2.4, counting from 1: block 0 is the key of the tag."""
        out = bytearray()
        for number, at in enumerate(range(0, len(data), 64), 1):
            pad = chacha_block(self.key, number, nonce)
            out += bytes(a ^ b for a, b in zip(data[at : at + 64], pad))
        return bytes(out)

    def tag(self, nonce, aad, ciphertext):
        pad = lambda data: data + bytes(-len(data) % 16)
        lengths = len(aad).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
        return poly1305(chacha_block(self.key, 0, nonce)[:32], pad(aad) + pad(ciphertext) + lengths)


# ---- docs/envelope.md ------------------------------------------------------------------------------------------------------


class Refused(Exception):
    """Why something did not open; the words are those of the Rust side."""


def hkdf_expand(key, info, length):
    """RFC 5869, section 2.3, with SHA-256."""
    out, block, number = b"", b"", 1
    while len(out) < length:
        block = hmac.new(key, block + info + bytes([number]), hashlib.sha256).digest()
        out, number = out + block, number + 1
    return out[:length]


def encode_context(place):
    """Section "Context": six fields, each behind its length in one byte."""
    fields = [
        uuid.UUID(place["tenant"]).bytes,
        place["table"].encode(),
        place["column"].encode(),
        uuid.UUID(place["row"]).bytes,
        uuid.UUID(place["contact"]).bytes,
        b"\x01",
    ]
    return b"".join(bytes([len(field)]) + field for field in fields)


def padded_length(content):
    """Section "Padding": steps of 64 bytes up to 1024, then Padmé."""
    least = content + 1
    if least <= 1024:
        step = 64
    else:
        exponent = least.bit_length() - 1
        step = 1 << (exponent - exponent.bit_length())
    return -(-least // step) * step


def record_keys(dek, suite, salt, context):
    """Section "Derivation": cipher key, nonce and commitment of one record."""
    out = hkdf_expand(dek, b"waxseal/env/1" + bytes([suite]) + salt + context, 76)
    return out[:32], out[32:44], out[44:]


# By the byte in the header.
SUITES = {1: Gcm, 2: ChaCha}


def seal(dek, dek_id, salt, place, content, suite=1):
    context = encode_context(place)
    key, nonce, commitment = record_keys(dek, suite, salt, context)
    header = bytes([0x57, 0x01, suite, 0x01]) + uuid.UUID(dek_id).bytes + salt + commitment
    padded = (content + b"\x80").ljust(padded_length(len(content)), b"\x00")
    return header + SUITES[suite](key).encrypt(nonce, header + context, padded)


def open_sealed(dek, place, sealed, dek_id=None):
    if len(sealed) < 92 or sealed[:2] != b"\x57\x01" or sealed[2] not in SUITES or sealed[3] != 1:
        raise Refused("malformed")
    if dek_id is not None and sealed[4:20] != uuid.UUID(dek_id).bytes:
        raise Refused("other_key")
    header, body, context = sealed[:76], sealed[76:], encode_context(place)
    key, nonce, commitment = record_keys(dek, sealed[2], header[20:44], context)
    if not hmac.compare_digest(commitment, header[44:]):
        raise Refused("tampered")
    padded = SUITES[sealed[2]](key).decrypt(nonce, header + context, body)
    if padded is None:
        raise Refused("tampered")
    content = padded.rstrip(b"\x00")
    if not content.endswith(b"\x80"):
        raise Refused("tampered")
    return content[:-1]


CHUNK = 1 << 16


def chunk_keys(dek, dek_id, salt, place):
    """Section "Content in chunks": cipher, prefix of the nonces, header, associated data."""
    context = encode_context(place)
    out = hkdf_expand(dek, b"waxseal/env/1\x03" + salt + context, 71)
    header = b"\x57\x01\x03\x10" + uuid.UUID(dek_id).bytes + salt + out[39:]
    return Gcm(out[:32]), out[32:39], header, header + context


def chunk_nonce(prefix, number, is_last):
    return prefix + number.to_bytes(4, "big") + bytes([is_last])


def seal_chunks(dek, dek_id, salt, place, content):
    cipher, prefix, sealed, associated = chunk_keys(dek, dek_id, salt, place)
    chunks = [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)] or [b""]
    for number, chunk in enumerate(chunks):
        sealed += cipher.encrypt(chunk_nonce(prefix, number, number + 1 == len(chunks)), associated, chunk)
    return sealed


def open_chunks(dek, dek_id, place, sealed):
    cipher, prefix, header, associated = chunk_keys(dek, dek_id, sealed[20:44], place)
    if not hmac.compare_digest(header, sealed[:76]) or len(sealed) < 92:
        raise Refused("tampered")
    body, content = sealed[76:], b""
    chunks = [body[at : at + CHUNK + 16] for at in range(0, len(body), CHUNK + 16)]
    for number, chunk in enumerate(chunks):
        opened = cipher.decrypt(chunk_nonce(prefix, number, number + 1 == len(chunks)), associated, chunk)
        if opened is None:
            raise Refused("tampered")
        content += opened
    return content


def unwrap(key, level, tenant, key_id, name, wrapped):
    """Section "Wrapped keys"."""
    context = b"waxseal/wrap/1" + bytes([len(level)]) + level.encode()
    context += uuid.UUID(tenant).bytes + uuid.UUID(key_id).bytes + name
    plain = Gcm(key).decrypt(wrapped[:12], context, wrapped[12:]) if len(wrapped) == 60 else None
    if plain is None:
        raise Refused("does not unwrap")
    return plain


def root(share, cell, installation, epoch):
    """Section "Key tree"."""
    info = b"waxseal/root/1" + uuid.UUID(installation).bytes + epoch.to_bytes(8, "big", signed=True)
    return hkdf_expand(hmac.new(cell, share, hashlib.sha256).digest(), info, 32)


SLOT = 4096


def slots(place):
    """The shares in a place: (installation, epoch, set, needed, number, share)."""
    for at in (0, SLOT):
        slot = place[at : at + 112]
        if len(slot) == 112 and slot[:8] == b"waxcell1" and hashlib.sha256(slot[:80]).digest() == slot[80:]:
            epoch = int.from_bytes(slot[24:32], "big", signed=True)
            yield str(uuid.UUID(bytes=slot[8:24])), epoch, slot[32:40], slot[40], slot[42], slot[48:80]


def field_times(x, y):
    product = 0
    while y:
        product ^= x if y & 1 else 0
        x, y = double(x), y >> 1
    return product


def combine(shares):
    """Lagrange at 0 over GF(256); 1 / x is x to the power of 254."""
    secret = [0] * 32
    for x, share in shares.items():
        weight = 1
        for other in shares:
            if other != x:
                inverse = 1
                for _ in range(254):
                    inverse = field_times(inverse, other ^ x)
                weight = field_times(weight, field_times(other, inverse))
        secret = [byte ^ field_times(part, weight) for byte, part in zip(secret, share)]
    return bytes(secret)


def cells(places, installation, epoch):
    """Section "Epoch cell"."""
    sets = {}
    for place in places:
        for owner, of, one, needed, number, share in slots(place):
            if (owner, of) == (installation, epoch):
                sets.setdefault((one, needed), {})[number] = share
    return [combine(dict(list(shares.items())[:needed])) for (_, needed), shares in sets.items() if len(shares) >= needed]


def keyed_hash(key, parts, length):
    """Section "Keyed hashes"."""
    message = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hmac.new(key, message, hashlib.sha256).digest()[:length]


# ---- the verbs --------------------------------------------------------------------------------------------------------------


def answer(verb, request):
    data = lambda name: bytes.fromhex(request[name])
    try:
        if verb == "seal":
            return {"sealed": seal(data("dek"), request["dek_id"], data("salt"), request, data("content"), request.get("suite", 1)).hex()}
        if verb == "open":
            return {"content": open_sealed(data("dek"), request, data("sealed"), request.get("dek_id")).hex()}
        if verb == "hash":
            parts = [bytes.fromhex(part) for part in request["parts"]]
            return {"hash": keyed_hash(data("key"), parts, request["length"]).hex()}
        if verb == "cell":
            found = cells([bytes.fromhex(place) for place in request["places"]], request["installation"], request["epoch"])
            return {"cells": [cell.hex() for cell in found]}
        if verb == "root":
            return {"content": root(data("share"), data("cell"), request["installation"], request["epoch"]).hex()}
        place = (request["level"], request["tenant"], request["id"], data("name"))
        return {"content": unwrap(data("key"), *place, data("wrapped")).hex()}
    except Refused as refused:
        return {"error": str(refused)}


def must(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")


def refused(dek, place, sealed, dek_id=None):
    try:
        open_sealed(dek, place, sealed, dek_id)
    except Refused:
        return True
    return False


def published_vectors():
    block = encrypt_block(expand_key(bytes(range(32))), bytes.fromhex("00112233445566778899aabbccddeeff"))
    must(block.hex() == "8ea2b7ca516745bfeafc49904b496089", "FIPS 197, appendix C.3")
    nothing = Gcm(bytes(32)).encrypt(bytes(12), b"", b"")
    must(nothing.hex() == "530f8afbc74536b9a963b4f1c4cb738b", "GCM test case 13")
    zeros = Gcm(bytes(32)).encrypt(bytes(12), b"", bytes(16)).hex()
    must(zeros == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919", "GCM test case 14")
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    aad = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    sealed = Gcm(key).encrypt(nonce, aad, plain)
    expected = (
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
        "76fc6ece0f4e1768cddf8853bb2d551b"
    )
    must(sealed.hex() == expected, "GCM test case 16")
    must(Gcm(key).decrypt(nonce, aad, sealed) == plain, "GCM test case 16, decryption")
    must(Gcm(key).decrypt(nonce, aad[:-1], sealed) is None, "GCM, changed associated data")
    pseudorandom = bytes.fromhex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5")
    out = hkdf_expand(pseudorandom, bytes(range(0xF0, 0xFA)), 42).hex()
    must(out == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865", "RFC 5869, A.1")
    rfc_8439()


def rfc_8439():
    key = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    tag = poly1305(key, b"Cryptographic Forum Research Group").hex()
    must(tag == "a8061dc1305136c6c22b8baf0c0127a9", "RFC 8439, section 2.5.2")
    cipher, nonce = ChaCha(bytes(range(0x80, 0xA0))), bytes.fromhex("070000004041424344454647")
    aad = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
    sealed = cipher.encrypt(nonce, aad, plain)
    expected = (
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"
    )
    must(sealed.hex() == expected, "RFC 8439, section 2.8.2")
    must(cipher.decrypt(nonce, aad, sealed) == plain, "RFC 8439, section 2.8.2, decryption")
    must(cipher.decrypt(nonce, aad[:-1], sealed) is None, "ChaCha20-Poly1305, changed associated data")


def golden_vector(name, suite):
    path = pathlib.Path(__file__).parent / "vectors" / name
    sealed = bytes.fromhex(path.read_text().strip())
    dek, dek_id = bytes(range(32)), "11223344-5566-7788-99aa-bbccddeeff00"
    number = lambda value: str(uuid.UUID(int=value))
    place = {"tenant": number(1), "table": "event_payload", "column": "payload", "row": number(2), "contact": number(3)}
    content = "Moin 👋".encode()
    must(open_sealed(dek, place, sealed, dek_id) == content, "the golden vector opens")
    salt = bytes(range(0xA0, 0xB8))
    must(seal(dek, dek_id, salt, place, content, suite) == sealed, "the golden vector is made again, byte for byte")
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        must(refused(dek, place, bytes(changed), dek_id), f"bit {bit} flipped is refused")
    for length in range(len(sealed)):
        must(refused(dek, place, sealed[:length], dek_id), f"cut to {length} bytes is refused")
    must(refused(dek, place, sealed + b"\x00", dek_id), "a byte too many is refused")
    elsewhere = {"tenant": number(9), "table": "message", "column": "answer", "row": number(9), "contact": number(9)}
    for name, value in elsewhere.items():
        must(refused(dek, {**place, name: value}, sealed, dek_id), f"another {name} is refused")
    must(refused(bytes(32), place, sealed, dek_id), "another key under the same id is refused")
    must(refused(dek, place, sealed, number(9)), "another key id is refused")


def golden_chunks():
    header, last, digest = (pathlib.Path(__file__).parent / "vectors" / "chunks-v1.txt").read_text().split()
    dek, dek_id = bytes(range(32)), "11223344-5566-7788-99aa-bbccddeeff00"
    number = lambda value: str(uuid.UUID(int=value))
    place = {"tenant": number(1), "table": "media", "column": "object", "row": number(2), "contact": number(3)}
    content = bytes(at % 251 for at in range(CHUNK + 5))
    sealed = seal_chunks(dek, dek_id, bytes(range(0xA0, 0xB8)), place, content)
    must(sealed[:76].hex() == header, "the header of the golden chunks")
    must(sealed[76 + CHUNK + 16 :].hex() == last, "the last of the golden chunks")
    must(hashlib.sha256(sealed).hexdigest() == digest, "the golden chunks, byte for byte")
    must(open_chunks(dek, dek_id, place, sealed) == content, "the golden chunks open")
    for damaged in (sealed[: 76 + CHUNK + 16], sealed[:-1], sealed[:76] + sealed[76 + CHUNK + 16 :]):
        try:
            open_chunks(dek, dek_id, place, damaged)
        except Refused:
            continue
        must(False, "chunks that are cut or dropped are refused")


def golden_cell():
    vector = (pathlib.Path(__file__).parent / "vectors" / "cell-slot-v1.hex").read_text()
    slot = bytes.fromhex("".join(vector.split()))
    installation, share = "11223344-5566-7788-99aa-bbccddeeff00", bytes(range(32))
    read = list(slots(bytes(SLOT) + slot))
    must(read == [(installation, 7, bytes(range(1, 9)), 2, 3, share)], "the golden slot of a cell")
    must(not list(slots(bytes(SLOT) + slot[:79] + b"\xff" + slot[80:])), "a changed slot is no slot")
    parts = {x: bytes(at ^ field_times(0xA0 + at, x) for at in range(32)) for x in (1, 3)}
    must(parts[1][:2] == b"\xa0\xa0" and parts[3][:4] == b"\xfb\xf9\xff\xfd", "the golden shares")
    must(combine(parts) == share, "two golden shares give the cell")


def padding():
    for content, padded in [(0, 64), (63, 64), (64, 128), (1023, 1024), (1024, 1088), (5000, 5120), (100_000, 100_352)]:
        must(padded_length(content) == padded, f"{content} bytes are padded to {padded}")


def main():
    verb = sys.argv[1] if len(sys.argv) == 2 else ""
    if verb == "self-test":
        published_vectors()
        padding()
        golden_vector("envelope-v1.hex", 1)
        golden_vector("envelope-v1-chacha20.hex", 2)
        golden_chunks()
        golden_cell()
        print("ok: AES-256, GCM, ChaCha20-Poly1305, HKDF, padding, golden vectors, 1 bit and 1 byte of damage everywhere")
    elif verb in ("open", "seal", "hash", "unwrap", "cell", "root"):
        for line in sys.stdin:
            print(json.dumps(answer(verb, json.loads(line))), flush=True)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
