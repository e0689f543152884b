"""The command python -m fast.beam: its flags, the checks before the workers start, and the final report."""

import contextlib
import logging
from collections.abc import Sequence

logging.disable(logging.WARNING)  # While it loads, Beam warns about missing cloud packages.
import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.runner import create_runner

logging.disable(logging.NOTSET)

from common import errors
from common.errors import UserError
from fast.beam import pipeline, remote
from fast.commands import stylize
from fast.inference import style_spec

# The job servers of these runners accept flags that Beam's own parser does not know.
JOB_SERVER_RUNNERS = 'FlinkRunner', 'PortableRunner', 'SparkRunner'


def add_flags(parser) -> None:
    """Add the flags of the pipeline, without those of Beam, to an argument parser."""
    parser.add_argument('--input', nargs='+', required=True, metavar='GLOB',
                        help='folders of photos, or patterns such as \'photos/*.jpg\' or \'gs://bucket/**.jpg\', in '
                        'any file system that Beam can read; * matches within a folder, ** also in its subfolders')
    parser.add_argument('--output', required=True, metavar='FOLDER',
                        help='folder for the pictures, in any file system that Beam can write to')
    parser.add_argument('--style', required=True, **stylize.STYLE_FLAG)
    stylize.add_renderer_flags(parser)
    parser.set_defaults(threads=1)  # Beam starts one worker process for each core.


def run(args, beam_flags: Sequence[str]) -> int:
    """Check the flags, run the pipeline and print what it did.

    Args:
        args: parsed flags of `add_flags`.
        beam_flags: the remaining flags, which are Beam's.

    Returns:
        The exit status: 0, or 1 if some photos could not be stylized.

    Raises:
        UserError: a flag is wrong, a file system cannot be reached, or the pipeline failed.
    """
    job = _empty_pipeline(beam_flags)
    globs, out = [remote.glob(text) for text in args.input], remote.absolute(args.output).rstrip('/')
    settings = stylize.renderer_from_flags(args).settings()
    for glob in globs:
        if remote.fixed_prefix(glob) == out + '/':
            raise UserError(f'--output {args.output}: is the folder of the photos; choose another, because the next '
                            'run would take the pictures for photos')
        with _file_system_errors(glob):
            if not FileSystems.match([glob], [1])[0].metadata_list:
                raise UserError(f'--input {glob}: no file matches this pattern')
    failed = pipeline.failure_list(out, args)
    with _file_system_errors(out):
        remote.acquire(FileSystems, out, style_spec.slug(args.style), settings)
        if FileSystems.exists(failed):  # It was left by an earlier run.
            FileSystems.delete([failed])
    pipeline.build(job, globs, out, args)
    try:
        result = job.run()
        result.wait_until_finish()
    except Exception as error:
        *_, last = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f'the pipeline failed ({last}); the same command continues where it stopped') from error
    print(_counts(result))
    if FileSystems.exists(failed):
        print(f'{failed} lists the photos that could not be stylized, with the reasons')
        return 1
    return 0


def _empty_pipeline(flags):
    """Create an empty pipeline; raise `UserError` for an unusable runner, a missing flag or an unknown flag."""
    options = PipelineOptions(flags)
    name = options.view_as(StandardOptions).runner or 'DirectRunner'
    try:
        runner = create_runner(name)  # Loading a runner may register further options.
        if type(runner).__name__ not in JOB_SERVER_RUNNERS:
            known, parsed = PipelineOptions([]).get_all_options(), options.get_all_options(retain_unknown_options=True)
            if unknown := ', '.join(f'--{flag}' for flag in parsed.keys() - known.keys()):
                raise UserError(f'{unknown}: neither a flag of this command nor one of Beam; --help lists the flags of '
                                'this command')
        FileSystems.set_options(options)
        return beam.Pipeline(runner, options)
    except (ImportError, ValueError, AttributeError) as error:
        raise UserError(f'--runner {name}: {error}') from error


@contextlib.contextmanager
def _file_system_errors(path):
    """Turn any exception of a file system into a `UserError`, because each file system raises its own classes."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(errors.describe(error) if getattr(error, 'filename', None) else f'{path}: {error}') from error


def _counts(result):
    """Return as text how many photos had each outcome; not every runner counts them."""
    try:
        counters = {counter.key.metric.name: counter.result for counter in result.metrics().query()['counters']}
    except NotImplementedError:
        return 'done; this runner does not count photos'
    return ', '.join(f'{counters.get(outcome, 0)} {outcome}' for outcome in pipeline.OUTCOMES)
