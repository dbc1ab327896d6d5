#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""manual_test.py PATH_TO_DMSNAP: the manual pages say what the program and its control file do, no more and no less."""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = ["dmsnap.1", "dmsnap-format.5", "dmsnap-control.7"]
differences = []


def differ(what):
    differences.append(what)


def compare(place, written, real, real_place):
    """Both ways: what the page has, and what there is."""
    for name in sorted(real - written):
        differ(f"{place}: {name} is missing; {real_place} has it")
    for name in sorted(written - real):
        differ(f"{place}: {name} is documented; {real_place} does not have it")


def sections(text, macro):
    """{title: text} of the .Sh or .Ss sections; what comes before the first is under ""."""
    parts = re.split(rf"^\.{macro} +(.+)$", text, flags=re.M)
    titles = ["", *(title.replace(r"\&", "").strip() for title in parts[1::2])]
    return dict(zip(titles, parts[0::2]))


def items(text):
    """[(arguments of .It, text of the item)]; the text of an outer item ends where an inner list begins."""
    parts = re.split(r"^\.It(?: +(.*))?$", text, flags=re.M)
    return list(zip((tag or "" for tag in parts[1::2]), parts[2::2]))


def documented_options(text):
    return {name for tag, _ in items(text) for name in re.findall(r"\bFl -([a-z][a-z-]*)", tag)}


def run_help(dmsnap, *verb):
    ran = subprocess.run([dmsnap, *verb, "--help"], capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        differ(f"dmsnap {' '.join(verb)} --help: exit status {ran.returncode}")
    return ran.stdout


def check_verb(dmsnap, verb, text):
    shown = run_help(dmsnap, verb)
    options = re.findall(r"^  (?:-(\w) \[ )?--([a-z][a-z-]*)(?: \])?(?: arg)?(?: \(=(.+?)\))?", shown, re.M)
    place = f"dmsnap.1, {verb}"
    real = {name for _, name, _ in options} - {"help"}
    written = documented_options(text)
    compare(place, {f"--{name}" for name in written}, {f"--{name}" for name in real}, f"dmsnap {verb} --help")
    for letter, name, default in options:
        if name not in written & real:
            continue
        tag = next(tag for tag, _ in items(text) if re.search(rf"\bFl -{name}(?![a-z-])", tag))
        from_tag = text[text.index(f".It {tag}"):]
        if letter and not re.search(rf"\bFl {letter}\b", tag):
            differ(f"{place}: --{name} has the short form -{letter}, which is not documented")
        following = re.split(r"^\.It .*Fl ", from_tag[1:], maxsplit=1, flags=re.M)[0]
        if default and not re.search(rf"\bDefault:? {re.escape(default)}\b", following):
            differ(f'{place}: --{name}: the text does not say "Default {default}"')


def check_command_page(dmsnap):
    page = sections((ROOT / "man/dmsnap.1").read_text(), "Sh")
    verbs = set(re.findall(r"^  ([a-z]+) ", run_help(dmsnap), re.M))
    if not verbs:
        return differ("dmsnap --help: lists no verbs")
    synopsis = set(re.findall(r"^\.Nm dmsnap\n\.Cm (\S+)$", page.get("SYNOPSIS", ""), re.M))
    commands = sections(page.get("COMMANDS", ""), "Ss")
    common = commands.pop("")
    compare("dmsnap.1, SYNOPSIS", synopsis, verbs, "dmsnap --help")
    compare("dmsnap.1, COMMANDS", set(commands), verbs, "dmsnap --help")
    if "help" not in documented_options(common):
        differ("dmsnap.1, COMMANDS: --help is missing before the first verb")
    for verb in sorted(verbs & set(commands)):
        check_verb(dmsnap, verb, commands[verb])


def members(text, macro):
    return {name for tag, _ in items(text) for name in re.findall(rf"^{macro} (\w+)", tag)}


def check_control_page():
    page = sections((ROOT / "man/dmsnap-control.7").read_text(), "Sh")
    written = sections(page.get("VERBS", ""), "Ss")
    written.pop("")
    control = (ROOT / "src/daemon/set_control.cc").read_text()
    real = {verb: set(re.findall(r'"(\w+)"', list_))
            for verb, list_ in re.findall(r'dispatcher_\.add(?:_look)?\(\s*"(\w+)",\s*\{([^}]*)\}', control)}
    if len(real) != control.count("dispatcher_.add(") + control.count("dispatcher_.add_look("):
        differ("set_control.cc: this test cannot read every dispatcher_.add()")
    compare("dmsnap-control.7, VERBS", set(written), set(real), "set_control.cc")
    for verb in sorted(set(written) & set(real)):
        compare(f"dmsnap-control.7, {verb}, request", members(written[verb], "Cm"), real[verb], "set_control.cc")
    report = (ROOT / "src/daemon/status_report.cc").read_text()
    reported = set(re.findall(r'\{"(\w+)",|report\["(\w+)"\]', report))
    objects = ["STATUS OBJECT", "SNAPSHOT OBJECT", "MERGE OBJECT", "MERGE PLAN"]
    compare(f"dmsnap-control.7, {', '.join(objects)}",
            set().union(*(members(page.get(each, ""), "Va") for each in objects)),
            {first or second for first, second in reported}, "status_report.cc")
    metrics = set(re.findall(r'"(dmsnap_\w+)"', (ROOT / "src/daemon/metrics_report.cc").read_text()))
    compare("dmsnap-control.7, METRICS", members(page.get("METRICS", ""), "Va"), metrics, "metrics_report.cc")
    events = set()
    for source in (ROOT / "src/daemon").glob("*.cc"):
        for noted in re.findall(r"\.note\(([^{]*)", source.read_text()):
            events |= set(re.findall(r'"([a-z-]+)"', noted))
    told = {name for tag, _ in items(page.get("EVENTS", "")) for name in re.findall(r"^Cm ([a-z-]+)", tag)}
    compare("dmsnap-control.7, EVENTS", told, events, "src/daemon")


def check_recorded_cases():
    """Each case that the tests except from equality with the kernel is named with its reason in the manual, too."""
    page = sections((ROOT / "man/dmsnap-format.5").read_text(), "Sh")
    written = {word for tag, _ in items(page.get("RECORDED CASES", "")) for word in tag.split() if len(word) > 2}
    cases = {folder.name for folder in (ROOT / "test/vectors/cases").iterdir()}
    excepted = set(re.findall(r'"([A-Za-z0-9-]+)"', (ROOT / "test/vectors/deliberate.cc").read_text())) & cases
    compare("dmsnap-format.5, RECORDED CASES", written, excepted, "deliberate.cc")
    if f" {len(cases)} cases" not in page.get("RECORDED CASES", ""):
        differ(f"dmsnap-format.5, RECORDED CASES: there are {len(cases)} cases")


def check_lint():
    if not shutil.which("mandoc"):
        return differ("mandoc is not installed: apt-get install mandoc")
    for page in PAGES:
        ran = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", ROOT / "man" / page], capture_output=True,
                             text=True, check=False)
        for line in (ran.stdout + ran.stderr).splitlines():
            if re.search(r": (WARNING|ERROR|UNSUPP|FATAL):|: Cannot|No such file", line):
                differ(line)
        if ran.returncode >= 2 and not any(page in each for each in differences):
            differ(f"mandoc -T lint {page}: exit status {ran.returncode}")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: manual_test.py PATH_TO_DMSNAP")
    check_command_page(sys.argv[1])
    check_control_page()
    check_recorded_cases()
    check_lint()
    for each in differences:
        print(each)
    print(f"manual: {len(differences)} differences" if differences else "manual: pages and program agree")
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())
