"""embed.py - turns files into one C source: the console's into the array of collector/api/console/page.h, or the bytes of one file.

    embed.py --out console_page.c FILE…
    embed.py --out descriptors.c --bytes NAME --header HEADER FILE      const unsigned char NAME[]; const size_t NAME_len

The arrays and entity tags depend on the files alone; what is packed for browsers also on the zlib of Python.
"""

import argparse
import gzip
import hashlib
import pathlib
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
GZIP_FROM = 1024  # bytes, as http.h says


def literal(text):
    """As an initialiser of struct str; names and types hold nothing that C would read otherwise."""
    return '{{ "{}", {} }}'.format(text.replace('"', '\\"'), len(text))


def array(data, name, storage="static const"):
    lines = [", ".join(f"{byte}" for byte in data[at:at + 24]) for at in range(0, len(data), 24)]
    return f"{storage} unsigned char {name}[] = {{\n    " + ",\n    ".join(lines) + "\n};\n"


def plain(path, name, header):
    data = path.read_bytes()
    if not data:
        sys.exit(f"embed.py: {path}: the file is empty")
    return (f'/* Written by cmake/embed.py. */\n#include "{header}"\n\n' + array(data, name, "const")
            + f"const size_t {name}_len = sizeof {name};\n")


def main():
    parser = argparse.ArgumentParser(description="files to a C array")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--bytes", metavar="NAME")
    parser.add_argument("--header")
    parser.add_argument("files", type=pathlib.Path, nargs="+")
    options = parser.parse_args()
    if options.bytes:
        if not options.header or len(options.files) != 1:
            parser.error("--bytes takes --header and one file")
        options.out.write_text(plain(options.files[0], options.bytes, options.header))
        return

    arrays, rows = [], []
    for number, path in enumerate(sorted(options.files, key=lambda path: path.name)):
        if path.suffix not in TYPES:
            sys.exit(f"embed.py: {path}: no content type is known for '{path.suffix}'")
        data = path.read_bytes()
        if not data:
            sys.exit(f"embed.py: {path}: the file is empty")
        etag = '"' + hashlib.sha256(data).hexdigest()[:24] + '"'
        arrays.append(array(data, f"file_{number}"))
        packed = '{ "", 0 }'
        if len(data) >= GZIP_FROM:
            arrays.append(array(gzip.compress(data, 9, mtime=0), f"gzip_{number}"))
            packed = f"{{ (const char *)gzip_{number}, sizeof gzip_{number} }}"
        rows.append(f"    {{ {literal(path.name)}, {literal(TYPES[path.suffix])}, {literal(etag)},\n"
                    f"      {{ (const char *)file_{number}, sizeof file_{number} }}, {packed} }},")
    text = ('/* Written by cmake/embed.py. */\n#include "api/console/page.h"\n\n' + "\n".join(arrays)
            + "\nconst struct console_file console_files[] = {\n" + "\n".join(rows)
            + "\n};\nconst size_t console_files_n = sizeof console_files / sizeof console_files[0];\n")
    options.out.write_text(text)


if __name__ == "__main__":
    main()
