//! A report as a picture: shares of regions, and how far away clients are, before and after.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use super::report::{Report, ServiceReport};

/// Width of the picture in pixels.
const WIDTH: u32 = 1_000;
/// Height of each service's part.
const HEIGHT: u32 = 340;
/// Services shown; more make no picture that anybody reads.
const SERVICES_MAX: usize = 8;
/// What names are drawn with, wherever the picture is looked at: printable ASCII, as the names of
/// regions and services are.
const FONT: &[u8] = include_bytes!("font/dejavu_sans.ttf");
/// Before, and after.
const COLOURS: [RGBColor; 2] = [RGBColor(70, 110, 180), RGBColor(215, 95, 45)];

/// The form of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Svg,
    Png,
}

impl Form {
    /// That of a file of this name; `None`: no picture has such a name.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let end = path.extension()?;
        let forms = [("svg", Self::Svg), ("png", Self::Png)];
        forms.into_iter().find(|(name, _)| end.eq_ignore_ascii_case(name)).map(|(_, form)| form)
    }
}

/// Draws the picture into a file.
pub(super) fn save(report: &Report, path: &Path, form: Form) -> Result<(), String> {
    let octets = draw(report, form).map_err(|error| format!("cannot draw the picture: {error}"))?;
    fs::write(path, octets).map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

/// The picture as a file.
fn draw(report: &Report, form: Form) -> Result<Vec<u8>, Box<dyn Error>> {
    register_font("sans-serif", FontStyle::Normal, FONT).map_err(|_| "its font is none")?;
    let size = (WIDTH, HEIGHT * report.services.len().clamp(1, SERVICES_MAX) as u32);
    match form {
        Form::Svg => {
            let mut text = String::new();
            services(report, &SVGBackend::with_string(&mut text, size).into_drawing_area())?;
            Ok(text.into_bytes())
        }
        Form::Png => {
            let (width, height) = size;
            let mut pixels = vec![0; 3 * width as usize * height as usize];
            services(report, &BitMapBackend::with_buffer(&mut pixels, size).into_drawing_area())?;
            let mut octets = Vec::new();
            let mut encoder = png::Encoder::new(&mut octets, width, height);
            encoder.set_color(png::ColorType::Rgb);
            let mut writer = encoder.write_header()?;
            writer.write_image_data(&pixels)?;
            writer.finish()?;
            Ok(octets)
        }
    }
}

/// A part of a picture of any form.
type Area<B> = DrawingArea<B, Shift>;

/// A part for each service.
fn services<B>(report: &Report, root: &Area<B>) -> Result<(), Box<dyn Error>>
where
    B: DrawingBackend<ErrorType: 'static>,
{
    let services = report.services.iter().take(SERVICES_MAX);
    root.fill(&WHITE)?;
    let count = services.len().max(1);
    for (service, area) in services.zip(root.split_evenly((count, 1))) {
        let (left, right) = area.split_horizontally(WIDTH / 2);
        shares(service, &left)?;
        curves(service, &right)?;
    }
    root.present()?;
    Ok(())
}

/// Two bars for each region.
fn shares<B>(service: &ServiceReport, area: &Area<B>) -> Result<(), Box<dyn Error>>
where
    B: DrawingBackend<ErrorType: 'static>,
{
    let count = service.regions.len() as f64;
    let most = service.regions.iter().flat_map(|share| [share.before, share.after]);
    let most = most.fold(0.01, f64::max) * 110.0;
    let title = format!("{} clients by region, %", service.service);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(40)
        .build_cartesian_2d(0.0..count.max(1.0), 0.0..most)?;
    let name = |at: &f64| {
        let region = service.regions.get(at.floor().max(0.0) as usize);
        // The middle of a region's bars alone has its name.
        let middle = (at.fract() - 0.5).abs() < 0.01;
        region.filter(|_| middle).map_or_else(String::new, |share| share.region.clone())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * service.regions.len() + 1)
        .x_label_formatter(&name)
        .draw()?;
    for (at, share) in service.regions.iter().enumerate() {
        for (side, (value, colour)) in [share.before, share.after].iter().zip(COLOURS).enumerate() {
            let left = at as f64 + 0.15 + 0.35 * side as f64;
            let corners = [(left, 0.0), (left + 0.33, value * 100.0)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        }
    }
    Ok(())
}

/// The share of clients within each round trip.
fn curves<B>(service: &ServiceReport, area: &Area<B>) -> Result<(), Box<dyn Error>>
where
    B: DrawingBackend<ErrorType: 'static>,
{
    let far = |curve: &[(u32, f64)]| {
        curve.iter().find(|(_, share)| *share > 0.995).map_or(100, |(ms, _)| *ms)
    };
    let most = service.curves.iter().map(|curve| far(curve)).max().unwrap_or(100).max(50);
    let mut chart = ChartBuilder::on(area)
        .caption("clients within a round trip of ms, %", ("sans-serif", 16))
        .margin(10)
        .x_label_area_size(30)
        .y_label_area_size(40)
        .build_cartesian_2d(0..most, 0.0..100.0)?;
    chart.configure_mesh().draw()?;
    for ((curve, colour), name) in service.curves.iter().zip(COLOURS).zip(["before", "after"]) {
        let points = curve.iter().take_while(|(ms, _)| *ms <= most);
        let points = points.map(|(ms, share)| (*ms, share * 100.0));
        let line = chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        let key = move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled());
        line.label(name).legend(key);
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE)
        .border_style(BLACK)
        .draw()?;
    Ok(())
}
