//! A chart as inline SVG: lines with points, each with the spread of its runs.

use std::fmt::Write as _;

use super::scale::Scale;
use crate::figures::short;

const WIDTH: f64 = 620.0;
const HEIGHT: f64 = 340.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 50.0;

/// Colours that the page's style has.
const COLOURS: usize = 8;

/// A chart.
#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    /// What to see in it.
    pub(crate) note: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
}

/// One of its two axes.
#[derive(Debug)]
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) scale: Scale,
}

/// Points that belong together.
#[derive(Clone, Default, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// By its number, so that what belongs together in several lines has one colour.
    pub(crate) colour: usize,
    pub(crate) stroke: Stroke,
    pub(crate) points: Vec<Point>,
}

/// How the points of a line are joined.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Stroke {
    #[default]
    Solid,
    Dashed,
    /// Not at all: nothing is between them.
    Points,
}

impl Stroke {
    /// As the page's style has it.
    const fn class(self) -> &'static str {
        match self {
            Self::Solid => "",
            Self::Dashed => " dashed",
            Self::Points => " points",
        }
    }
}

/// A value and the least and greatest of its runs.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Point {
    /// For whoever points at it.
    fn text(&self) -> String {
        let Self { y, low, high, .. } = *self;
        match low < high {
            true => format!("{} ({} to {})", short(y), short(low), short(high)),
            false => short(y),
        }
    }
}

impl Chart {
    /// Whether it says more than the table: two points of one line do.
    pub(crate) fn says_something(&self) -> bool {
        self.lines.iter().any(|line| line.points.len() > 1)
    }

    /// The chart with its title, legend and note.
    pub(crate) fn html(&self) -> String {
        let mut to = String::new();
        let title = escape(self.title);
        let _ = write!(
            to,
            "<figure><figcaption><h3>{title}</h3>{}</figcaption>\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">",
            self.legend()
        );
        self.draw_grid(&mut to);
        for line in self.lines.iter().filter(|line| !line.points.is_empty()) {
            self.draw_line(line, &mut to);
        }
        let _ = write!(to, "</svg><p>{}</p></figure>", escape(&self.note));
        to
    }

    fn legend(&self) -> String {
        let mut to = String::from("<ul>");
        for line in self.lines.iter().filter(|line| !line.points.is_empty()) {
            let _ = write!(
                to,
                "<li><span class=\"key c{}{}\"></span>{}</li>",
                line.colour % COLOURS,
                line.stroke.class(),
                escape(&line.name)
            );
        }
        to.push_str("</ul>");
        to
    }

    fn draw_grid(&self, to: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (place, text) in self.y.scale.ticks() {
            let y = y_at(place);
            let _ = write!(
                to,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT - 6.0,
                y + 4.0,
                escape(&text)
            );
        }
        for (place, text) in self.x.scale.ticks() {
            let x = x_at(place);
            let _ = write!(
                to,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
                 <text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                bottom + 17.0,
                escape(&text)
            );
        }
        let _ = write!(
            to,
            "<text class=\"middle label\" x=\"{:.1}\" y=\"{:.1}\">{}</text>\
             <text class=\"middle label\" transform=\"translate(13 {:.1}) rotate(-90)\">{}</text>",
            f64::midpoint(LEFT, right),
            HEIGHT - 10.0,
            escape(self.x.label),
            f64::midpoint(TOP, bottom),
            escape(self.y.label)
        );
    }

    fn draw_line(&self, line: &Line, to: &mut String) {
        let _ = write!(to, "<g class=\"c{}{}\">", line.colour % COLOURS, line.stroke.class());
        let at = |point: &Point| {
            let x = self.x.scale.place(point.x)?;
            Some((x_at(x), y_at(self.y.scale.place(point.y)?)))
        };
        if line.stroke != Stroke::Points {
            let path: Vec<String> =
                line.points.iter().filter_map(at).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = write!(to, "<polyline points=\"{}\"/>", path.join(" "));
        }
        for point in &line.points {
            let Some((x, y)) = at(point) else { continue };
            let end = |value| self.y.scale.place(value).map(y_at).unwrap_or(y);
            let _ = write!(
                to,
                "<line class=\"spread\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
                 <circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\"><title>{}: {}</title></circle>",
                end(point.low),
                end(point.high),
                escape(&line.name),
                point.text()
            );
        }
        to.push_str("</g>");
    }
}

fn x_at(place: f64) -> f64 {
    LEFT + place * (WIDTH - LEFT - RIGHT)
}

fn y_at(place: f64) -> f64 {
    HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)
}

/// Text as HTML and SVG have it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<Point>) -> Chart {
        let values = [1.0, 4.0];
        Chart {
            title: "a < b",
            note: String::new(),
            x: Axis { label: "x", scale: Scale::linear(values) },
            y: Axis { label: "y", scale: Scale::log(values) },
            lines: vec![Line { name: "\"one\"".to_owned(), points, ..Line::default() }],
        }
    }

    #[test]
    fn larger_is_further_right_and_higher() {
        assert!(x_at(0.0) < x_at(1.0) && y_at(0.0) > y_at(1.0));
        assert!((x_at(1.0), y_at(1.0)) == (WIDTH - RIGHT, TOP));
    }

    #[test]
    fn what_is_drawn_is_well_formed() {
        let point = |x, y| Point { x, y, low: y / 2.0, high: y * 2.0 };
        let html = chart(vec![point(1.0, 1.0), point(2.0, 4.0), point(3.0, 0.0)]).html();
        assert!(html.contains("a &lt; b") && html.contains("&quot;one&quot;"), "{html}");
        assert_eq!(html.matches("<circle").count(), 2, "nothing has no place on this scale");
        for tag in ["figure", "svg", "g", "ul", "li", "text", "title"] {
            let (opened, closed) = (format!("<{tag}"), format!("</{tag}>"));
            let opened = html.matches(&format!("{opened} ")).count()
                + html.matches(&format!("{opened}>")).count();
            assert_eq!(opened, html.matches(&closed).count(), "{tag}");
        }
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }

    #[test]
    fn a_single_point_is_no_chart() {
        let point = Point { x: 1.0, y: 1.0, low: 1.0, high: 1.0 };
        assert!(!chart(Vec::new()).says_something() && !chart(vec![point]).says_something());
        assert!(chart(vec![point; 2]).says_something());
    }
}
