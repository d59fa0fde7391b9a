"""Settings of motion masks of clips."""

from tasks.config import CosegmentConfig


class MotionConfig(CosegmentConfig):
    """The frames of a clip are one set; the object that they share is taken for what moves."""

    renderings: str | None = None
    """Folder with <scene>/rendered/<frame> and <scene>/gt/<frame> of a view synthesiser: the
    PSNR over the pixels that the masks leave is reported."""

    def cosegmentation(self) -> CosegmentConfig:
        """Only the fields of `CosegmentConfig`."""
        return CosegmentConfig(**self.model_dump(include=set(CosegmentConfig.model_fields)))
