"""The RTL route of ``qap firmware``: a delivered model as pipelined Verilog, proven on the events of the delivery."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qap.config.schema import Firmware
    from qap.errors import QapError
    from qap.firmware.deliver import Delivery, Events

FOLDER = "rtl"


Added = tuple["Delivery", "QapError | None"]
"""A delivery with its RTL, and why something of it could not be made."""


def add_rtl(delivery: Delivery, events: Events | None, settings: Firmware, say: Callable[[str], None]) -> Added:
    """Write a delivered model as Verilog, simulate it, and synthesise it where the settings ask for it.

    Parameters
    ----------
    delivery : Delivery
    events : Events or None
        Real events; the generated ones of the delivery are compared in any case.
    settings : Firmware
        ``adders_per_stage``, ``synthesis``, ``synthesis_seconds``.
    say : callable

    Returns
    -------
    Delivery
        With the key ``rtl`` in its record where it was simulated: ``parity``, ``figures``, ``real_events``.
    QapError or None
        What could not be made: a layer that the route does not build, da4ml, Verilator, g++ or Yosys missing, a design too
        large for the time given.
    """
    import numpy as np

    from qap.errors import QapError
    from qap.firmware.model_file import load_model
    from qap.firmware.vectors import parity_vectors
    from qap.rtl import compare_rtl, synthesise, write_design
    from qap.rtl.tools import verilator
    from qap.search.rtl_route import rtl_figures

    project, model = delivery.project, load_model(delivery.directory / "model.keras")
    kind: Any = project.inputs[0].kind
    folder, name = delivery.directory / FOLDER, f"{project.name}_rtl"
    try:
        verilator()  # before anything is written
        say("writing the RTL")
        design = write_design(model, kind, folder, adders_per_stage=settings.adders_per_stage, name=name)
        x = parity_vectors(model, kind)[0]
        if events is not None:
            x = np.concatenate([project.quantized(events.x)[0].reshape(-1, *x.shape[1:]), x])
        say("simulating the RTL")
        parity = compare_rtl(model, design, x)
    except QapError as error:
        return delivery, error
    synthesis, problem = None, None
    if settings.synthesis and parity.proven:
        say("synthesising the RTL by Yosys")
        try:
            synthesis = synthesise(design, timeout=settings.synthesis_seconds)
        except QapError as error:
            problem = error
    figures = {name: asdict(figure) for name, figure in rtl_figures(design, synthesis).items()}
    noted = {"parity": asdict(parity), "figures": figures, "real_events": events is not None}
    return delivery.noted(rtl=noted), problem


def said(record: Mapping[str, Any]) -> list[str]:
    """Return a line on the RTL of a delivery for the terminal, none where it has none."""
    if "rtl" not in record:
        return []
    parity, figures = record["rtl"]["parity"], record["rtl"]["figures"]
    shown = ", ".join(f"{name} {found['value']:g}" for name, found in figures.items())
    return [f"RTL: {parity['exact']:,} of {parity['events']:,} events bit-exact; {shown}"]
