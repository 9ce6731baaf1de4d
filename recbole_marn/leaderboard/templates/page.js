for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, table = head.closest("table"), column = head.cellIndex;
  const key = row => row.cells[column].dataset.v, body = table.tBodies[0], was = head.getAttribute("aria-sort");
  const words = !/^-?\d/.test(key(body.rows[0]) ?? "0");
  const down = words ? was === "ascending" : was !== "descending";
  for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...body.rows].sort((a, b) => {
    const x = key(a), y = key(b);
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    const order = words ? x.localeCompare(y) : x - y;
    return down ? -order : order;
  });
  body.append(...rows);
};
