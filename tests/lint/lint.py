"""lint.py - the rules of the tree that a compiler does not check.

    lint.py --build build/dev [--junit FILE] [RULE]…
    lint.py --build build/dev --regenerate       writes the generated part of docs/configuration.md

One function per rule; each yields (place, sentence) for what breaks it. `layers` and `symbols` need the build tree: CMake
writes layers.txt and compile_commands.json there; `reference` needs its program. Exit status 1 when anything was found.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
from xml.sax.saxutils import quoteattr

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
PROGRAM_FOLDERS = ("lib", "exporters", "collector", "proxy")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)

# Third-party header -> modules that may include it; "command" and the like are names of the layer table.
LIBRARIES = (
    (r"uv(/.*)?\.h$", {"net"}),
    (r"openssl/", {"net", "codec", "authn", "control"}),
    (r"nghttp2/", {"http"}),
    (r"llhttp\.h$", {"http"}),
    (r"protobuf-c/|.*\.pb-c\.h$", {"model"}),
    (r"lmdb\.h$", {"kv"}),
    (r"(zstd.*|zdict|libdeflate|isa-l/.*|zlib|snappy-c)\.h$", {"codec"}),
    (r"librdkafka/", {"kafka", "consume"}),
    (r"jansson\.h$", {"codec"}),
    (r"yaml\.h$", {"conf"}),
    (r"pcre2.*\.h$", {"codec"}),
    (r"xxhash\.h$", {"codec"}),
    (r"cjose/", {"http", "authn"}),
    (r"ares.*\.h$", {"net"}),
    (r"cmocka\.h$", set()),
)
BANNED = ("strcpy", "strcat", "strncpy", "sprintf", "vsprintf", "strtok", "atoi", "gets", "localtime", "gmtime", "alloca")
ALLOCATORS = ("malloc", "calloc", "realloc", "reallocarray", "free", "strdup", "strndup", "asprintf", "vasprintf",
              "posix_memalign", "aligned_alloc")


# --- the tree ----------------------------------------------------------------------------------------

def tracked():
    """Files that are, or are about to be, under version control."""
    out = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"],
                         check=True, capture_output=True).stdout
    return [ROOT / name for name in sorted(out.decode().split("\0")) if name and (ROOT / name).is_file()]


def program_sources(suffixes=(".c", ".h")):
    return [path for path in tracked() if path.suffix in suffixes and path.relative_to(ROOT).parts[0] in PROGRAM_FOLDERS]


def place_of(path, text=None, at=0):
    name = path.relative_to(ROOT).as_posix()
    return name if text is None else f"{name}:{text.count(chr(10), 0, at) + 1}"


def code_of(text):
    """The text with comments and string literals blanked, line numbers kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def allow_list(name):
    """`path reason…` a line; a line without a reason is an error of its own."""
    allowed, broken = {}, []
    for number, line in enumerate((HERE / name).read_text().splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            path, _, reason = line.partition(" ")
            allowed[path] = reason.strip()
            if not reason.strip():
                broken.append((f"tests/lint/{name}:{number}", f"{path} has no reason"))
    return allowed, broken


class Layers:
    """layers.txt: name|folder|rank|dep,dep."""

    def __init__(self, build):
        self.rows = {}
        for line in (build / "layers.txt").read_text().splitlines():
            name, folder, rank, deps = line.split("|")
            self.rows[name] = (folder, int(rank), [dep for dep in deps.split(",") if dep])

    def module_of(self, path):
        folder = path.parent.relative_to(ROOT).as_posix()
        best = None
        for name, (home, _, _) in self.rows.items():
            if (folder == home or folder.startswith(home + "/")) and (not best or len(home) > len(self.rows[best][0])):
                best = name
        return best

    def module_of_include(self, include):
        fitting = [name for name in self.rows if include.startswith(name + "/")]
        return max(fitting, key=len, default=None)


# --- rules -------------------------------------------------------------------------------------------

def rule_layers(build):
    """A module includes only itself and the lower modules it declares; a library only where it belongs."""
    layers = Layers(build)
    for name, (folder, rank, deps) in layers.rows.items():
        for dep in deps:
            if dep not in layers.rows:
                yield folder, f"{name} declares {dep}, which is no module"
            elif layers.rows[dep][1] >= rank:
                yield folder, f"{name} (rank {rank}) declares {dep} (rank {layers.rows[dep][1]}): not lower"
            elif {folder.split("/")[0], layers.rows[dep][0].split("/")[0]} == {"collector", "proxy"}:
                yield folder, f"{name} declares {dep}: the two programs never see each other"
    for path in program_sources():
        module, text = layers.module_of(path), path.read_text(errors="replace")
        is_main = path.name == "main.c" and path.parent.name in ("collector", "proxy")
        if module is None and not is_main:
            yield place_of(path), "belongs to no module of the layer table"
            continue
        for match in INCLUDE.finditer(text):
            for sentence in judge_include(layers, path, module, is_main, match.group(1), match.group(2)):
                yield place_of(path, text, match.start()), sentence


def judge_include(layers, path, module, is_main, kind, include):
    if ".." in include.split("/") or include.split("/")[0] in PROGRAM_FOLDERS:
        yield f'"{include}" does not begin at its module'
    for pattern, homes in LIBRARIES:
        if re.match(pattern, include) and (module is None or module.split("/")[-1] not in homes):
            yield f"<{include}> belongs to {', '.join(sorted(homes)) or 'tests'}"
        elif re.match(pattern, include) and path.suffix == ".h" and is_public(path) and "pb-c" not in include:
            yield f"<{include}> in a public header"
    if kind == "<" or is_main:
        return
    other = layers.module_of_include(include)
    if other and other != module and other not in layers.rows[module][2]:
        yield f'"{include}": {module} does not declare {other}'


def is_public(path):
    """Listed as a HEADER of its module's mg_module call."""
    for folder in path.parents:
        lists = folder / "CMakeLists.txt"
        if lists.is_file():
            call = re.search(r"mg_module\((.*?)\)", lists.read_text(), re.S)
            headers = re.search(r"\bHEADERS\b(.*?)(\b[A-Z]+\b|$)", call.group(1), re.S) if call else None
            return bool(headers) and path.relative_to(folder).as_posix() in headers.group(1).split()
    return False


def rule_tests(_build):
    """Every source has a unit test of its name, or a line with a reason in untested.txt."""
    allowed, broken = allow_list("untested.txt")
    yield from broken
    tests = {path.relative_to(ROOT / "tests/unit").as_posix() for path in (ROOT / "tests/unit").rglob("*_test.c")}
    untested = set()
    for path in program_sources((".c",)):
        name = path.relative_to(ROOT).as_posix()
        inside = "/".join(path.relative_to(ROOT).parts[1:-1] + (path.stem + "_test.c",))
        if inside not in tests:
            untested.add(name)
            if name not in allowed:
                yield name, f"has no tests/unit/{inside}"
    for name in sorted(set(allowed) - untested):
        yield f"tests/lint/untested.txt", f"{name} is tested or gone: remove its line"


def objects(build):
    """(source, object) of the program's own sources, as far as they are compiled."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        source = pathlib.Path(entry["file"])
        output = entry.get("output") or re.search(r"-o (\S+\.o)", entry["command"]).group(1)
        if source.is_relative_to(ROOT) and source.relative_to(ROOT).parts[0] in PROGRAM_FOLDERS:
            made = pathlib.Path(entry["directory"]) / output
            if made.is_file():
                yield source, made


def undefined_symbols(made):
    out = subprocess.run(["nm", "-u", str(made)], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines() if line.split()}


def rule_symbols(build):
    """No banned function; the allocator only in lib/base. In the objects, and in the text for what a compiler folds away."""
    allowed, broken = allow_list("allocators.txt")
    yield from broken
    compiled = list(objects(build))
    if not compiled:
        yield str(build), "holds no objects of ours: build it first"
    for source, made in compiled:
        name, is_base = place_of(source), source.is_relative_to(ROOT / "lib/base")
        symbols = undefined_symbols(made)
        for symbol in sorted(symbols & set(BANNED)):
            yield name, f"calls {symbol}"
        if not is_base and name not in allowed:
            for symbol in sorted(symbols & set(ALLOCATORS)):
                yield name, f"calls {symbol}: memory comes from base/mem.h"
    called = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")
    for path in program_sources():
        text = code_of(path.read_text(errors="replace"))
        for match in called.finditer(text):
            yield place_of(path, text, match.start()), f"calls {match.group(1)}"


# Written in pieces, so that this file does not break its own rule.
MACHINE_PATHS = re.compile(r"(?<![\w.])/(" + "|".join(("wor" "k/", "roo" "t/", "hom" "e/\\w")) + ")")
URL_HOST = re.compile(r"https?://([A-Za-z0-9.-]+)")
URL_ALLOWED = re.compile(r"(^|\.)(localhost|example(\.(com|org|net))?|invalid|test|apache\.org|opentelemetry\.io|w3\.org|prometheus\.io|jaegertracing\.io"
                         r"|zipkin\.io|ietf\.org|rfc-editor\.org|kernel\.org|github\.com|json-schema\.org|debian\.org/doc|systemd\.io)$"
                         r"|^[^.]+$|^(127\.|0\.0\.0\.0|10\.|192\.168\.)[0-9.]*$")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
PAGE_NAME = re.compile(r"[\w./-]*\w\.md\b")


def rule_files(_build):
    """Text files: no machine paths, no registry hosts, no CRLF; C without tabs; shell scripts parse; pages that are named exist."""
    pages = ["/" + place_of(path) for path in tracked() if path.suffix == ".md"]
    for path in tracked():
        data = path.read_bytes()
        if b"\0" in data[:4096] or "corpus" in path.parts:
            continue
        text = data.decode(errors="replace")
        if "\r\n" in text and path.suffix != ".dict":
            yield place_of(path, text, text.index("\r\n")), "CRLF line end"
        if path.suffix in (".c", ".h", ".def") and "\t" in text:
            yield place_of(path, text, text.index("\t")), "tab"
        if path.name == "LICENSE":
            continue
        for match in MACHINE_PATHS.finditer(text):
            yield place_of(path, text, match.start()), f"machine path {match.group()}"
        for match in URL_HOST.finditer(text):
            if not URL_ALLOWED.search(match.group(1)):
                yield place_of(path, text, match.start()), f"host {match.group(1)} is not on the list of lint.py"
        for match in UNFINISHED.finditer(text):
            yield place_of(path, text, match.start()), f"unfinished: {match.group()}"
        for match in PAGE_NAME.finditer(text):
            if not any(page.endswith("/" + match.group().lstrip("./")) for page in pages):
                yield place_of(path, text, match.start()), f"there is no page {match.group()}"
        if text.startswith("#!") and "bash" in text.split("\n", 1)[0]:
            check = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
            if check.returncode:
                yield place_of(path), check.stderr.strip()


# --- the reference page ------------------------------------------------------------------------------

PAGE = ROOT / "docs/configuration.md"


def split_page(text):
    """The part that people write, and the tables from the first `## ` on, which the program prints."""
    start = re.search(r"^## ", text, re.M)
    return (text[:start.start()], text[start.start():]) if start else (text, "")


def printed_reference(build):
    out = subprocess.run([str(build / "bin/meshglass-collector"), "config", "--reference"], check=True, capture_output=True)
    return out.stdout.decode()


def rule_reference(build):
    """docs/configuration.md holds what `config --reference` prints, to the letter."""
    written, printed = split_page(PAGE.read_text())[1].splitlines(), printed_reference(build).splitlines()
    for sentence, lines in (("the program has no such line", [line for line in written if line not in set(printed)]),
                            ("is missing", [line for line in printed if line not in set(written)])):
        for line in lines:
            yield place_of(PAGE), f"{sentence}: {line[:100]}; lint.py --regenerate writes the page"
    if written != printed:
        yield place_of(PAGE), "is not what `config --reference` prints; lint.py --regenerate writes the page"


def regenerate(build):
    PAGE.write_text(split_page(PAGE.read_text())[0] + printed_reference(build))
    print(f"{place_of(PAGE)}: written")


RULES = {"layers": rule_layers, "tests": rule_tests, "symbols": rule_symbols, "files": rule_files, "reference": rule_reference}


def main():
    parser = argparse.ArgumentParser(description="rules of the tree")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/dev")
    parser.add_argument("--junit", type=pathlib.Path)
    parser.add_argument("--regenerate", action="store_true", help="write the generated part of docs/configuration.md")
    parser.add_argument("rules", nargs="*", metavar="RULE")
    options = parser.parse_args()
    if options.regenerate:
        regenerate(options.build.resolve())
        return 0
    if unknown := set(options.rules) - set(RULES):
        parser.error(f"no such rule: {', '.join(sorted(unknown))}; there are {', '.join(RULES)}")
    cases, is_bad = [], False
    for name in options.rules or RULES:
        try:
            findings = sorted(set(RULES[name](options.build.resolve())))
        except (OSError, subprocess.CalledProcessError) as error:
            findings = [(name, f"cannot run: {error}")]
        for place, sentence in findings:
            print(f"lint.{name}: {place}: {sentence}")
        print(f"lint.{name}: {'ok' if not findings else f'{len(findings)} found'}")
        is_bad |= bool(findings)
        body = "".join(f"<failure message={quoteattr(f'{place}: {sentence}')}/>" for place, sentence in findings[:1])
        cases.append(f"<testcase classname='lint' name={quoteattr('lint.' + name)}>{body}</testcase>")
    if options.junit:
        options.junit.write_text(f"<testsuite name='lint'>{''.join(cases)}</testsuite>\n")
    return 1 if is_bad else 0


if __name__ == "__main__":
    sys.exit(main())
