"""The style sheet of the report."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root{color-scheme:light dark;--paper:#f6f7f9;--card:#fff;--ink:#1b2430;--soft:#5a6675;--line:#dde2e8;--s0:#0b63c5;
--s1:#8a939e;--s2:#c2570c;--s3:#2f7d4f;--good:#1d6f42;--bad:#b3261e;--mark:#8b3fb5}
@media (prefers-color-scheme:dark){:root{--paper:#12161c;--card:#1b2129;--ink:#e7ebf0;--soft:#a3adba;--line:#343d48;
--s0:#6cb2ff;--s1:#8d97a3;--s2:#f39a52;--s3:#6fce95;--good:#6fce95;--bad:#ff8b80;--mark:#cf9bf0}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
"Noto Sans","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 20px 48px}
h1{font-size:1.05rem;font-weight:600;color:var(--soft);margin:0 0 6px}
.verdict{font-size:1.6rem;line-height:1.3;font-weight:650;margin:0 0 14px;max-width:34em;text-wrap:balance}
h2{font-size:1.15rem;margin:0 0 6px;line-height:1.35}
p{margin:0 0 8px;max-width:72ch}
.note{color:var(--soft);font-size:.93rem}
section,figure{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:18px 20px;margin:0 0 18px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:18px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.tile b{display:block;font-size:1.55rem;line-height:1.2;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.88rem}
.pair{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:18px}
.pair figure{display:flex;flex-direction:column}
figcaption h2{min-height:1.35em}
svg{display:block;width:100%;height:auto;margin:8px 0 4px;overflow:visible}
svg text{font-family:inherit;fill:var(--soft);font-size:13.5px}
svg .axis{fill:var(--ink)}
.grid{stroke:var(--line);stroke-width:1}
.ideal{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:5 5}
.line{fill:none;stroke-width:2.4;stroke-linejoin:round}
.line.s0,.key.s0{stroke:var(--s0)}.line.s1,.key.s1{stroke:var(--s1);stroke-dasharray:2 4}
.line.s2,.key.s2{stroke:var(--s2);stroke-dasharray:8 4}.line.s3,.key.s3{stroke:var(--s3);stroke-dasharray:10 3 2 3}
.dot{stroke:var(--card);stroke-width:1}
.dot.s0{fill:var(--s0)}.dot.s1{fill:var(--s1)}.dot.s2{fill:var(--s2)}.dot.s3{fill:var(--s3)}
.bar{fill:var(--s0)}
.mark line{stroke:var(--mark);stroke-width:1.6;stroke-dasharray:3 3}
svg .mark text{fill:var(--mark);font-weight:700}
.keys{display:flex;flex-wrap:wrap;gap:4px 18px;list-style:none;margin:4px 0 6px;padding:0;font-size:.9rem}
.keys svg{display:inline-block;width:34px;height:10px;margin:0 6px 0 0;vertical-align:middle}
.key{stroke-width:3;fill:none}
.scroll{overflow-x:auto;margin:10px -20px 0;padding:0 20px}
table{border-collapse:collapse;width:100%;font-size:.95rem;font-variant-numeric:tabular-nums}
th,td{padding:7px 12px 7px 0;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
thead th{font-weight:600;color:var(--soft);vertical-align:bottom;font-size:.88rem}
tbody th{font-weight:500}
th:first-child,td:first-child{text-align:left}
tbody tr:last-child>*{border-bottom:0}
tr.own>*{font-weight:700}
tr.out>*{color:var(--soft)}
td.out{text-align:left;white-space:normal}
.se{color:var(--soft);font-weight:400;font-size:.86em}
.better{color:var(--good);font-weight:600}.worse{color:var(--bad);font-weight:600}
.better::before{content:"\\25B2\\00A0"}.worse::before{content:"\\25BC\\00A0"}.level::before{content:"\\2248\\00A0"}
details{margin-top:6px;font-size:.93rem}
summary{cursor:pointer;color:var(--soft)}
dl{margin:0}
dt{font-weight:600;margin-top:8px}
dd{margin:0;color:var(--soft);max-width:76ch}
.marks{margin:6px 0 0;padding-left:1.6em}
.meter{display:block;height:10px;border-radius:5px;background:var(--s0);min-width:2px;print-color-adjust:exact;
-webkit-print-color-adjust:exact}
td.wide{width:60%}
footer{color:var(--soft);font-size:.88rem;overflow-wrap:anywhere}
.sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
@media screen and (max-width:760px){main{padding:18px 12px 32px}.pair{grid-template-columns:minmax(0,1fr);gap:0}
.verdict{font-size:1.28rem}section,figure{padding:14px 14px}.scroll{margin:10px -14px 0;padding:0 14px}
.tiles{grid-template-columns:repeat(2,minmax(0,1fr));gap:8px}.tile{padding:10px 12px}.tile b{font-size:1.3rem}
table{font-size:.86rem}.scroll table{margin-left:-14px;width:calc(100% + 14px)}
.tile:last-child:nth-child(odd){grid-column:1/-1}
svg text{font-size:17px}.se{display:block}th,td{padding-right:9px}thead th{white-space:normal}
.scroll tbody th,.scroll thead th:first-child{position:sticky;left:-14px;background:var(--card);
padding-left:14px;white-space:normal;min-width:6.8em}}
@media print{:root{--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--s0:#0b63c5;--s1:#777;--s2:#b04a00;
--s3:#24683f;--good:#17552f;--bad:#8f1d16;--mark:#6d2c91;color-scheme:light}body{font-size:10.5pt}main{max-width:none;
padding:0}section,figure,.tile{break-inside:avoid;border-color:#bbb}.pair{grid-template-columns:1fr 1fr}
.scroll{overflow:visible;margin:8px 0 0;padding:0}
.tiles{grid-template-columns:repeat(5,1fr);gap:8px}details:not([open]){display:none}
table{font-size:9pt}th,td{padding:4px 8px 4px 0}}
"""
"""Light and dark, wide and narrow, screen and paper; nothing from outside."""
