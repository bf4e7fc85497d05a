"""Checks a certificate of erasure, written from docs/privacy.md with Python's standard library alone.

    python3 tests/certificate.py FILE [SUBJECT_KIND CANONICAL SALT]

Prints the root of the log's tree that it rests on. Everything is checked but the signatures below that root, which any verifier of
C2SP checkpoints checks.
"""

import base64
import hashlib
import json
import sys


def sha256(data):
    return hashlib.sha256(data).digest()


def must(holds, what):
    if not holds:
        sys.exit("refused: " + what)


def leaf_hash(data):
    return sha256(b"\x00" + data)


def node_hash(left, right):
    return sha256(b"\x01" + left + right)


def tree(leaves):
    """RFC 6962, section 2.1."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(tree(leaves[:half]), tree(leaves[half:]))


def root_of(leaf, index, size, path):
    """RFC 9162, section 2.1.3.2."""
    must(index < size, "the entry lies behind the checkpoint")
    at, last, hash_ = index, size - 1, leaf
    for beside in path:
        must(last > 0, "the path is too long")
        if at % 2 == 1 or at == last:
            hash_ = node_hash(beside, hash_)
            while at % 2 == 0 and at > 0:
                at, last = at >> 1, last >> 1
        else:
            hash_ = node_hash(hash_, beside)
        at, last = at >> 1, last >> 1
    must(last == 0, "the path is too short")
    return hash_


def parse_proof(text):
    head, checkpoint = text.split("\n\n", 1)
    lines = head.split("\n")
    must(lines[0] == "c2sp.org/tlog-proof@v1", "this is no proof")
    must(lines[1].startswith("extra ") and lines[2].startswith("index "), "the proof holds no entry")
    extra = base64.b64decode(lines[1][6:], validate=True)
    path = [base64.b64decode(line, validate=True) for line in lines[3:]]
    _, size, root = checkpoint.split("\n")[:3]
    return extra, int(lines[2][6:]), path, int(size), base64.b64decode(root, validate=True)


def texts_of(entry):
    """The texts at the end of an entry (docs/audit.md): action, class, purpose, reason, request, details."""
    at, texts = 4 + 16 + 8 + 16 + 1 + 16 + 1 + 16 + 16 + 4 + 4 + 32, []
    while at < len(entry):
        length = int.from_bytes(entry[at:at + 2], "big")
        texts.append(entry[at + 2:at + 2 + length].decode())
        at += 2 + length
    return texts


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        given = json.load(file)
    document = given["certificate"]
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    checks = [bytes.fromhex(one) for one in document["keys"]["check_values"]]
    must(len(checks) == document["keys"]["destroyed"], "the keys are not as many as it says")
    must(tree([leaf_hash(one) for one in checks]).hex() == document["keys"]["root"], "the keys are not those of the root")

    extra, index, path, size, root = parse_proof(given["proof"])
    salt, entry = extra[:32], extra[32:]
    texts = texts_of(entry)
    must(texts[0] == "erasure.certified", "the entry certifies nothing")
    must(texts[5] == hashlib.sha256(canonical).hexdigest(), "the certificate is not what the entry commits to")
    commitment = sha256(b"waxseal audit entry v1\n" + salt + entry)
    must(root_of(leaf_hash(commitment), index, size, path) == root, "the entry is not in the tree")

    if len(sys.argv) > 2:
        kind, name, salt = sys.argv[2], sys.argv[3], bytes.fromhex(sys.argv[4])
        hidden = b"waxseal erasure subject v1\n" + salt + kind.encode() + b"\n" + name.encode()
        must(sha256(hidden).hex() == document["subject"]["commitment"], "the certificate is about somebody else")
    print(root.hex())


main()
